import pytest
import torch

from maefuse_hf.evaluation.rule import RULE, Rule, blend, restore_contrast, rule
from maefuse_hf.guide import replace_detail


def restored(image, gain):
    return restore_contrast(image, gain, RULE.contrast_outliers)


@pytest.fixture
def images():
    return torch.rand(2, 2, 1, 16, 24, generator=torch.Generator().manual_seed(0))


def ramp(darkest: float, brightest: float, side: int = 10) -> torch.Tensor:
    """Evenly spread grey values, so few that none is left outside."""
    return torch.linspace(darkest, brightest, side * side).view(1, 1, side, side)


def test_contrast_grows_about_the_mean_by_the_gain_where_there_is_room():
    assert torch.allclose(restored(ramp(0.4, 0.6), 2.0), ramp(0.3, 0.7))


@pytest.mark.parametrize(("darkest", "brightest"), [(0.1, 0.3), (0.7, 0.9)])
def test_the_mean_moves_just_as_far_as_the_range_needs(darkest, brightest):
    # spread by 3, either ramp would be 0.6 long and reach out of [0, 1] by 0.1
    dark = darkest < 0.5
    expected = ramp(0.0, 0.6) if dark else ramp(0.4, 1.0)
    assert torch.allclose(restored(ramp(darkest, brightest), 3.0), expected, atol=1e-6)


def test_contrast_grows_no_further_than_the_range():
    assert torch.allclose(restored(ramp(0.2, 0.7), 5.0), ramp(0.0, 1.0), atol=1e-6)


def test_an_image_beyond_the_range_is_brought_back_into_it():
    assert torch.allclose(restored(ramp(-0.5, 2.0), 1.5), ramp(0.0, 1.0), atol=1e-6)


@pytest.mark.parametrize("outlier", [0.0, 1.0])
def test_a_few_lamps_do_not_take_the_range(outlier):
    image = ramp(0.4, 0.6, side=100)
    lamps = int(RULE.contrast_outliers * image.numel())
    # instead of the values next to them, so that they are the ends of what counts
    row = 0 if outlier == 0 else -1
    image[0, 0, row, :lamps] = outlier
    spread = restored(image, 4.0)
    assert torch.isclose(
        (spread[0, 0, 60, 0] - spread[0, 0, 40, 0]) / (image[0, 0, 60, 0] - image[0, 0, 40, 0]), 4 * torch.ones(())
    )
    one_more = image.clone()
    one_more[0, 0, 50, 50] = outlier
    less = restored(one_more, 4.0)
    assert less[0, 0, 60, 0] - less[0, 0, 40, 0] < 0.9 * (spread[0, 0, 60, 0] - spread[0, 0, 40, 0])


def test_an_even_image_stays_as_it_is_and_has_a_gradient():
    even = torch.full((1, 1, 6, 6), 0.3, requires_grad=True)
    spread = restored(even, 2.0)
    spread.sum().backward()
    assert torch.allclose(spread, even)
    assert even.grad.isfinite().all()


def test_each_image_of_a_batch_is_taken_for_itself():
    torch.manual_seed(0)
    images = torch.rand(3, 1, 16, 24) * torch.tensor([0.1, 0.5, 1.0]).view(3, 1, 1, 1)
    alone = torch.cat([restored(image[None], 1.8) for image in images])
    assert torch.allclose(restored(images, 1.8), alone, atol=1e-6)


def test_correlation_with_any_image_stays():
    torch.manual_seed(0)
    image, other = torch.rand(2, 1, 1, 16, 24)
    spread = restored(image * 0.2, 1.8)
    before, after = (torch.corrcoef(torch.stack([x.flatten(), other.flatten()]))[0, 1] for x in (image, spread))
    assert torch.isclose(before, after, atol=1e-5)


class TestRule:
    def test_blend_by_hand(self):
        infrared, visible = torch.tensor([0.2, 0.8]).view(1, 1, 1, 2), torch.tensor([0.6, 0.1]).view(1, 1, 1, 2)
        expected = torch.tensor([(0.6 + 0.5 * 0.2) / 1.5, (0.8 + 0.5 * 0.1) / 1.5])
        assert torch.allclose(blend(infrared, visible, 0.5).flatten(), expected)

    def test_it_is_the_blend_spread_by_what_it_lost_with_the_detail_of_the_livelier_source(self, images):
        spread = restored(blend(*images, 0.7), 1.7)
        expected = replace_detail(spread, *images, sigma=3.0, sharpness=8.0, floor=1.0).clamp(0, 1)
        assert torch.equal(rule(*images), expected)

    def test_its_numbers_matter(self, images):
        numbers = Rule(darker_weight=0.2, detail_sigma=1.0)
        spread = restored(blend(*images, 0.2), 1.2)
        expected = replace_detail(spread, *images, sigma=1.0, sharpness=8.0, floor=1.0).clamp(0, 1)
        assert torch.equal(rule(*images, numbers), expected)
        assert not torch.allclose(rule(*images), expected, atol=0.01)

    def test_an_image_fused_with_itself_is_spread(self):
        # coarse structure alone: a ramp without detail but at its ends, from 0.4 to 0.6 about its mean by 1.7
        slope = torch.linspace(0.4, 0.6, 64).expand(1, 1, 32, 64)
        inside = (..., slice(None), slice(20, 44))
        assert torch.allclose(rule(slope, slope)[inside], (0.5 + 1.7 * (slope - 0.5))[inside], atol=1e-4)

    def test_half_precision_is_taken(self, images):
        fused = rule(*images.half())
        assert fused.dtype == torch.float32
        assert torch.allclose(fused, rule(*images.half().float()))
        assert fused.min() >= 0 and fused.max() <= 1

    def test_pairs_of_a_batch_do_not_meet(self, images):
        alone = torch.cat([rule(*images[:, k : k + 1]) for k in range(2)])
        assert torch.allclose(rule(*images), alone, atol=1e-6)
