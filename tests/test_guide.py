import pytest
import torch

from maefuse_hf.guide import GUIDE, Guide, guide, replace_detail
from maefuse_hf.refinement import gaussian_blur

SHARPNESS, FLOOR = 8.0, 1.0
FLAT = FLOOR / 255


def with_own_detail(fused, infrared, visible, sigma):
    return replace_detail(fused, infrared, visible, sigma, SHARPNESS, FLOOR)


@pytest.fixture
def images():
    """Three images of a batch of two."""
    return torch.rand(3, 2, 1, 16, 24, generator=torch.Generator().manual_seed(0))


class TestGuide:
    def test_an_image_guides_to_itself(self, images):
        source = 0.2 + 0.6 * images[0]
        assert torch.allclose(guide(source, source), source, atol=1e-5)

    def test_a_flat_infrared_image_leaves_the_visible_one(self, images):
        visible = 0.2 + 0.6 * images[0]
        flat = torch.full_like(visible, 0.9)
        # activity of 2 grey values against a deviation of 0.17: w is below 0.003
        assert torch.allclose(guide(flat, visible), visible, atol=0.003)

    def test_a_flat_visible_image_takes_its_share_of_infrared(self):
        """Stripes of 24 px, coarse beside the detail's Gaussian and fine beside the activity's."""
        infrared = (0.5 + 0.3 * torch.sin(torch.arange(192.0) * 2 * torch.pi / 24)).expand(1, 1, 8, 192)
        visible = torch.full_like(infrared, 0.4)
        contrast = infrared - gaussian_blur(infrared, 16.0)
        active_infrared = gaussian_blur(contrast.square(), 16.0) + (2 / 255) ** 2
        weight = active_infrared / (active_infrared + (2 / 255) ** 2)
        assert weight.min() > 0.99
        coarse = visible + weight * 0.3 * (infrared - visible)
        expected = gaussian_blur(coarse, 3.0) + infrared - gaussian_blur(infrared, 3.0)
        assert torch.allclose(guide(infrared, visible, Guide(infrared_share=0.3)), expected, atol=1e-4)

    def test_by_hand_where_both_are_equally_active(self):
        # turned upside down, contrast has the same square: w is a half
        infrared = 0.3 + 0.4 * torch.rand(1, 1, 12, 12, generator=torch.Generator().manual_seed(2))
        visible = 1 - infrared
        coarse = visible + 0.5 * GUIDE.infrared_share * (infrared - visible)
        # equal activities of opposite details: they cancel
        expected = gaussian_blur(coarse, 3.0)
        assert torch.allclose(guide(infrared, visible), expected, atol=1e-5)

    def test_what_damage_leaves_is_as_if_nothing_was_damaged(self, images):
        _, infrared, visible = images
        expected = guide(infrared, visible)
        assert torch.equal(guide(infrared, visible, seen=(infrared, visible)), expected)
        # more contrast hides nothing: what is livelier than the undamaged image does not count
        assert torch.equal(guide(infrared, visible, seen=(2 * infrared - 0.5, 3 * visible - 1)), expected)

    def test_what_is_hidden_in_one_image_is_shown_by_the_other(self, images):
        generator = torch.Generator().manual_seed(3)
        infrared, visible = 0.4 + 0.2 * torch.rand(2, 1, 1, 48, 48, generator=generator)
        hidden = torch.full_like(visible, 0.1)
        # activity of one or two grey values against a deviation of 0.05: the weights are one within a percent
        coarse = visible + GUIDE.infrared_share * (infrared - visible)
        of_infrared = infrared - gaussian_blur(infrared, 3.0)
        without_visible = guide(infrared, visible, seen=(infrared, hidden))
        assert torch.allclose(without_visible, gaussian_blur(coarse, 3.0) + of_infrared, atol=0.01)
        assert torch.allclose(guide(infrared, visible, seen=(hidden, visible)), visible, atol=0.01)

    def test_it_stays_within_the_range(self, images):
        black, white = torch.zeros_like(images[0]), torch.ones_like(images[0])
        for pair in ((images[0].round(), images[1].round()), (black, white)):
            fused = guide(*pair)
            assert fused.min() >= 0 and fused.max() <= 1

    def test_pairs_of_a_batch_do_not_meet(self, images):
        _, infrared, visible = images
        alone = torch.cat([guide(infrared[k : k + 1], visible[k : k + 1]) for k in range(2)])
        assert torch.allclose(guide(infrared, visible), alone, atol=1e-6)

    def test_autocast_and_half_precision_take_no_digits(self, images):
        _, infrared, visible = images
        expected = guide(infrared, visible)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(guide(infrared, visible), expected)
        half = guide(infrared.bfloat16(), visible.bfloat16())
        assert half.dtype == torch.float32
        assert torch.equal(half, guide(infrared.bfloat16().float(), visible.bfloat16().float()))


class TestReplacedDetail:
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
