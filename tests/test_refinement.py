import pytest
import torch

from maefuse_hf.refinement import RULE, Refinement, blend, gaussian_blur, refine, replace_detail, restore_contrast, rule

OUTLIERS, SHARPNESS, FLOOR = 0.005, 8.0, 1.0
FLAT = FLOOR / 255


def restored(image, gain):
    return restore_contrast(image, gain, OUTLIERS)


def with_own_detail(fused, infrared, visible, sigma):
    return replace_detail(fused, infrared, visible, sigma, SHARPNESS, FLOOR)


@pytest.fixture
def images():
    torch.manual_seed(0)
    return torch.rand(3, 2, 1, 16, 24)


class TestBlur:
    def test_a_dot_becomes_the_gaussian(self):
        dot = torch.zeros(1, 1, 15, 15)
        dot[..., 7, 7] = 1
        blurred = gaussian_blur(dot, 2.0)[0, 0]
        assert torch.isclose(blurred.sum(), torch.tensor(1.0))
        # along a row, and along a diagonal: exp(-(dx² + dy²) / 2 sigma²)
        assert torch.isclose(blurred[7, 9] / blurred[7, 7], torch.tensor(-4 / 8).exp())
        assert torch.isclose(blurred[5, 9] / blurred[7, 7], torch.tensor(-8 / 8).exp())
        assert torch.allclose(blurred, blurred.T)

    def test_edges_are_replicated(self):
        even = torch.full((1, 1, 3, 5), 0.3)
        assert torch.allclose(gaussian_blur(even, 4.0), even)


class TestDetail:
    def test_a_flat_source_gives_way(self, images):
        fused, infrared, _ = images
        flat = torch.full_like(infrared, 0.4)
        expected = gaussian_blur(fused, 1.0) + infrared - gaussian_blur(infrared, 1.0)
        # sqrt of a variance near a twelfth against one grey value, to the power of the sharpness
        assert torch.allclose(with_own_detail(fused, infrared, flat, 1.0), expected, atol=1e-4)
        assert torch.allclose(with_own_detail(fused, flat, infrared, 1.0), expected, atol=1e-4)

    def test_sources_alike_give_their_own_detail(self, images):
        fused, source, _ = images
        expected = gaussian_blur(fused, 1.0) + source - gaussian_blur(source, 1.0)
        assert torch.allclose(with_own_detail(fused, source, source, 1.0), expected, atol=1e-6)
        assert torch.allclose(with_own_detail(source, source, source, 1.0), source, atol=1e-6)

    def test_the_weight_is_the_ratio_of_activities_to_the_sharpness(self):
        # stripes have one activity everywhere: twice as strong ones count two to the sharpness as much
        stripes = (torch.arange(32.0) % 2 - 0.5).expand(1, 1, 32, 32)
        nothing = torch.zeros_like(stripes)
        weak, strong = 20 * FLAT * stripes, -40 * FLAT * stripes
        middle = with_own_detail(nothing, weak, strong, 1.0)[..., 10:22, 10:22]
        detail = (stripes - gaussian_blur(stripes, 1.0))[..., 10:22, 10:22]
        strengths = torch.tensor([20.0, 40.0]) * detail.abs().mean()
        first, second = (strengths.square() + 1).pow(SHARPNESS / 2)
        expected = (first * 20 - second * 40) / (first + second) * FLAT * detail
        assert torch.allclose(middle, expected, atol=1e-5)
        assert second / first == pytest.approx(2**SHARPNESS, rel=0.1)

    def test_images_of_a_batch_do_not_meet(self, images):
        both = with_own_detail(*images, sigma=2.0)
        assert torch.allclose(with_own_detail(*images[:, 1:], sigma=2.0), both[1:], atol=1e-6)

    def test_autocast_takes_no_digits(self, images):
        expected = with_own_detail(*images, sigma=1.0)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(with_own_detail(*images, sigma=1.0), expected)

    def test_half_precision_images_are_taken(self, images):
        fused, *sources = images
        refined = with_own_detail(fused, *[source.bfloat16() for source in sources], sigma=1.0)
        assert refined.dtype == torch.float32
        assert torch.allclose(refined, with_own_detail(*images, sigma=1.0), atol=0.02)


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
    lamps = int(OUTLIERS * image.numel())
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

    def test_it_is_the_refined_blend(self, images):
        _, infrared, visible = images
        expected = restored(blend(infrared, visible, 0.7), 1.7)
        expected = with_own_detail(expected, infrared, visible, 3.0).clamp(0, 1)
        assert torch.equal(rule(infrared, visible), expected)
        assert rule(infrared.half(), visible.half()).dtype == torch.float32

    def test_an_image_fused_with_itself_keeps_its_detail(self, images):
        source = 0.3 + 0.4 * images[0]
        numbers = Refinement(darker_weight=None)
        assert torch.allclose(rule(source, source, numbers), source, atol=1e-6)

    def test_steps_without_a_number_are_left_out(self, images):
        neither = Refinement(darker_weight=None, detail_sigma=None)
        assert not neither.changes_pixels and RULE.changes_pixels
        assert torch.equal(refine(*images, neither), images[0])
        contrast = Refinement(darker_weight=0.4, detail_sigma=None)
        assert torch.equal(refine(*images, contrast), restored(images[0], 1.4))
