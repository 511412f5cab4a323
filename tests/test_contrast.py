import pytest
import torch

from maefuse_hf.contrast import CLIPPED, with_restored_contrast


def ramp(darkest: float, brightest: float, side: int = 10) -> torch.Tensor:
    """Evenly spread grey values, so few that none is left outside."""
    return torch.linspace(darkest, brightest, side * side).view(1, 1, side, side)


def test_contrast_grows_about_the_mean_by_the_gain_where_there_is_room():
    assert torch.allclose(with_restored_contrast(ramp(0.4, 0.6), 2.0), ramp(0.3, 0.7))


@pytest.mark.parametrize(("darkest", "brightest"), [(0.1, 0.3), (0.7, 0.9)])
def test_the_mean_moves_just_as_far_as_the_range_needs(darkest, brightest):
    # spread by 3, either ramp would be 0.6 long and reach out of [0, 1] by 0.1
    dark = darkest < 0.5
    expected = ramp(0.0, 0.6) if dark else ramp(0.4, 1.0)
    assert torch.allclose(with_restored_contrast(ramp(darkest, brightest), 3.0), expected, atol=1e-6)


def test_contrast_grows_no_further_than_the_range():
    assert torch.allclose(with_restored_contrast(ramp(0.2, 0.7), 5.0), ramp(0.0, 1.0), atol=1e-6)


def test_an_image_beyond_the_range_is_brought_back_into_it():
    assert torch.allclose(with_restored_contrast(ramp(-0.5, 2.0), 1.5), ramp(0.0, 1.0), atol=1e-6)


@pytest.mark.parametrize("outlier", [0.0, 1.0])
def test_a_few_lamps_do_not_take_the_range(outlier):
    image = ramp(0.4, 0.6, side=100)
    lamps = int(CLIPPED * image.numel())
    # instead of the values next to them, so that they are the ends of what counts
    row = 0 if outlier == 0 else -1
    image[0, 0, row, :lamps] = outlier
    spread = with_restored_contrast(image, 4.0)
    assert torch.isclose(
        (spread[0, 0, 60, 0] - spread[0, 0, 40, 0]) / (image[0, 0, 60, 0] - image[0, 0, 40, 0]), 4 * torch.ones(())
    )
    one_more = image.clone()
    one_more[0, 0, 50, 50] = outlier
    less = with_restored_contrast(one_more, 4.0)
    assert less[0, 0, 60, 0] - less[0, 0, 40, 0] < 0.9 * (spread[0, 0, 60, 0] - spread[0, 0, 40, 0])


def test_an_even_image_stays_as_it_is_and_has_a_gradient():
    even = torch.full((1, 1, 6, 6), 0.3, requires_grad=True)
    spread = with_restored_contrast(even, 2.0)
    spread.sum().backward()
    assert torch.allclose(spread, even)
    assert even.grad.isfinite().all()


def test_each_image_of_a_batch_is_taken_for_itself():
    torch.manual_seed(0)
    images = torch.rand(3, 1, 16, 24) * torch.tensor([0.1, 0.5, 1.0]).view(3, 1, 1, 1)
    alone = torch.cat([with_restored_contrast(image[None], 1.8) for image in images])
    assert torch.allclose(with_restored_contrast(images, 1.8), alone, atol=1e-6)


def test_correlation_with_any_image_stays():
    torch.manual_seed(0)
    image, other = torch.rand(2, 1, 1, 16, 24)
    spread = with_restored_contrast(image * 0.2, 1.8)
    before, after = (torch.corrcoef(torch.stack([x.flatten(), other.flatten()]))[0, 1] for x in (image, spread))
    assert torch.isclose(before, after, atol=1e-5)
