import math

import pytest
import torch

from maefuse_hf.guide import replace_detail
from maefuse_hf.refinement import (
    SOURCES,
    gaussian_blur,
    livelier_source,
    source_weights,
    take_coarse_structure,
    take_detail,
)


@pytest.fixture
def images():
    """Decoded, infrared and visible images of two pairs."""
    return torch.rand(3, 2, 1, 16, 24, generator=torch.Generator().manual_seed(0))


def weights_of(**shares):
    """The same source weights at every pixel of the images."""
    assert sum(shares.values()) == 1
    return torch.tensor([shares.get(name, 0.0) for name in SOURCES]).view(1, 3, 1, 1).expand(2, 3, 16, 24)


def detail(image):
    return image - gaussian_blur(image, 1.0)


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


class TestLivelierSource:
    def test_sources_alike_are_equally_lively(self, images):
        livelier, of_infrared, of_visible = livelier_source(images[0], images[0], sigma=1.0, sharpness=8.0, floor=1.0)
        assert not livelier.any() and torch.equal(of_infrared, of_visible)

    def test_twice_the_contrast_counts_two_to_the_sharpness(self, images):
        source = images[0]
        livelier, detail, doubled = livelier_source(source, 2 * source, sigma=1.0, sharpness=5.0, floor=1e-3)
        assert torch.allclose(livelier, torch.full_like(livelier, -5 * math.log(2)), atol=1e-3)
        assert torch.allclose(doubled, 2 * detail, atol=1e-6)


class TestSourceWeights:
    NUMBERS = {"sigma": 1.0, "sharpness": 8.0, "floor": 1.0}

    def test_without_an_opinion_the_livelier_source_prevails_as_in_the_guide(self, images):
        decoded, infrared, visible = images
        trust = torch.zeros(2, 2, 16, 24)
        trust[:, 0] = -100
        weights = source_weights(trust, infrared, visible, **self.NUMBERS)
        taken = take_detail(decoded, weights, infrared, visible, 1.0)
        assert torch.allclose(taken, replace_detail(decoded, infrared, visible, 1.0, 8.0, 1.0), atol=1e-6)

    def test_by_hand_on_flat_sources(self):
        # flat sources are equally lively: s(t_F), and s(t_I) of the rest
        flat = torch.full((1, 1, 8, 8), 0.5)
        trust = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1).expand(1, 2, 8, 8)
        weights = source_weights(trust, flat, flat, **self.NUMBERS)[0, :, 3, 3]
        share = 1 / (1 + torch.tensor(-1.0).exp())
        assert torch.allclose(weights, torch.tensor([0.5 * share, 0.5 * (1 - share), 0.5]))

    def test_distrust_outweighs_activity(self, images):
        _, noisy, visible = images
        visible = 0.5 + 0.01 * visible
        lively = source_weights(torch.zeros(2, 2, 16, 24), noisy, visible, **self.NUMBERS)
        assert (lively[:, 0] > 0.49).all()
        trust = torch.zeros(2, 2, 16, 24)
        trust[:, 1] = -60
        assert (source_weights(trust, noisy, visible, **self.NUMBERS)[:, 1] > 0.49).all()

    def test_a_limit_bounds_what_liveliness_alone_decides(self):
        # stripes against nothing: livelier by far more than any limit, so that l is the limit itself
        stripes = (torch.arange(32.0) % 2).expand(1, 1, 32, 32)
        flat = torch.full_like(stripes, 0.5)
        trust = torch.tensor([0.0, -1.0]).view(1, 2, 1, 1).expand(1, 2, 32, 32)
        of_infrared = source_weights(trust, stripes, flat, **self.NUMBERS, limit=3.0)[0, 0]
        assert torch.allclose(of_infrared, torch.full((32, 32), 0.5 / (1 + math.exp(1 - 3))), atol=1e-4)

    def test_a_far_limit_is_none(self, images):
        _, infrared, visible = images
        trust = torch.zeros(2, 2, 16, 24)
        expected = source_weights(trust, infrared, visible, **self.NUMBERS)
        assert torch.allclose(source_weights(trust, infrared, visible, **self.NUMBERS, limit=1e4), expected, atol=1e-5)

    def test_they_add_up_to_one_and_autocast_takes_no_digits(self, images):
        _, infrared, visible = images
        trust = torch.randn(2, 2, 16, 24, generator=torch.Generator().manual_seed(1))
        weights = source_weights(trust, infrared, visible, **self.NUMBERS)
        assert torch.allclose(weights.sum(dim=1), torch.ones(2, 16, 24)) and (weights >= 0).all()
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(source_weights(trust, infrared, visible, **self.NUMBERS), weights)
        alone = source_weights(trust[1:], infrared[1:], visible[1:], **self.NUMBERS)
        assert torch.allclose(alone, weights[1:], atol=1e-6)


class TestTakenDetail:
    def test_a_decoder_that_trusts_itself_gives_its_own_image(self, images):
        decoded, infrared, visible = images
        assert torch.allclose(take_detail(decoded, weights_of(decoded=1), infrared, visible, 1.0), decoded, atol=1e-6)

    @pytest.mark.parametrize("trusted", ["infrared", "visible"])
    def test_detail_comes_from_the_trusted_source_and_all_else_from_the_decoder(self, images, trusted):
        decoded, infrared, visible = images
        source = infrared if trusted == "infrared" else visible
        taken = take_detail(decoded, weights_of(**{trusted: 1}), infrared, visible, 1.0)
        assert torch.allclose(taken, gaussian_blur(decoded, 1.0) + detail(source), atol=1e-6)

    def test_shares_mix_the_details(self, images):
        decoded, infrared, visible = images
        weights = weights_of(infrared=0.5, visible=0.25, decoded=0.25)
        expected = gaussian_blur(decoded, 1.0)
        expected = expected + 0.5 * detail(infrared) + 0.25 * detail(visible) + 0.25 * detail(decoded)
        assert torch.allclose(take_detail(decoded, weights, infrared, visible, 1.0), expected, atol=1e-6)

    def test_each_pixel_has_its_own_weights(self, images):
        decoded, infrared, visible = images
        weights = weights_of(infrared=1).clone()
        weights[..., 12:] = weights_of(visible=1)[..., 12:]
        taken = take_detail(decoded, weights, infrared, visible, 1.0)
        left, right = (take_detail(decoded, weights_of(**{name: 1}), infrared, visible, 1.0) for name in SOURCES[:2])
        assert torch.equal(taken, torch.cat([left[..., :12], right[..., 12:]], dim=-1))

    def test_three_images_alike_come_back_whatever_the_weights(self, images):
        weights = torch.randn(2, 3, 16, 24).softmax(dim=1)
        assert torch.allclose(take_detail(images[0], weights, images[0], images[0], 2.0), images[0], atol=1e-6)

    def test_pairs_of_a_batch_do_not_meet(self, images):
        decoded, infrared, visible = images
        weights = torch.randn(2, 3, 16, 24).softmax(dim=1)
        both = take_detail(decoded, weights, infrared, visible, 2.0)
        alone = take_detail(decoded[1:], weights[1:], infrared[1:], visible[1:], 2.0)
        assert torch.allclose(alone, both[1:], atol=1e-6)

    def test_autocast_takes_no_digits_and_half_precision_sources_are_taken(self, images):
        decoded, infrared, visible = images
        weights = weights_of(infrared=0.5, visible=0.5)
        expected = take_detail(decoded, weights, infrared, visible, 1.0)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(take_detail(decoded, weights, infrared, visible, 1.0), expected)
        half = take_detail(decoded, weights.bfloat16(), infrared.bfloat16(), visible.bfloat16(), 1.0)
        assert half.dtype == torch.float32
        assert torch.allclose(half, expected, atol=0.01)

    def test_gradients_reach_the_decoded_image_and_the_weights(self, images):
        decoded, infrared, visible = images
        decoded, weights = decoded.clone().requires_grad_(), weights_of(decoded=1).clone().requires_grad_()
        take_detail(decoded, weights, infrared, visible, 1.0).square().sum().backward()
        assert decoded.grad.abs().sum() > 0
        assert (weights.grad.abs().sum(dim=(0, 2, 3)) > 0).all()


class TestCoarseStructure:
    def test_an_even_coarse_image_sets_the_brightness_and_leaves_what_is_finer(self, images):
        decoded = images[0]
        coarse = torch.full((2, 1, 4, 6), 0.8)
        taken = take_coarse_structure(decoded, coarse, 4, 1.0)
        assert torch.allclose(taken, decoded - gaussian_blur(decoded, 1.0) + 0.8, atol=1e-6)

    def test_what_lies_beyond_the_image_is_left_out(self, images):
        decoded = images[0]
        coarse = torch.rand(2, 1, 4, 6)
        padded = torch.nn.functional.pad(coarse, (0, 2, 0, 4), mode="replicate")
        expected = take_coarse_structure(decoded, coarse, 4, 1.0)
        assert torch.allclose(take_coarse_structure(decoded, padded, 4, 1.0), expected, atol=1e-6)
