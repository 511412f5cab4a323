import pytest
import torch

from maefuse_hf.detail import FLAT, SHARPNESS, gaussian_blur, with_own_detail


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
