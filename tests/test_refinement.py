import math

import pytest
import torch

from maefuse_hf.refinement import (
    SOURCES,
    blur_radius,
    enlarged,
    gaussian_blur,
    livelier_source,
    refinement_reach,
    source_weights,
    split_detail,
    take_coarse_structure,
    take_detail,
    with_contrast_of_decoded,
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
    @pytest.mark.parametrize("sigma", [0.4, 1.5, 16.0])
    @pytest.mark.parametrize("size", [(1, 1), (5, 40), (33, 97), (130, 64)])
    def test_is_the_convolution_with_the_edges_replicated(self, sigma, size):
        images = torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(0))
        radius = math.ceil(3 * sigma)
        kernel = torch.exp(-((torch.arange(-radius, radius + 1) / sigma) ** 2) / 2)
        kernel = kernel / kernel.sum()
        padded = torch.nn.functional.pad(images, [radius] * 4, mode="replicate")
        expected = torch.nn.functional.conv2d(padded, torch.outer(kernel, kernel)[None, None])
        assert torch.allclose(gaussian_blur(images, sigma), expected, atol=1e-6)

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


class TestSplitDetail:
    def test_both_add_up_and_each_channel_is_split_for_itself(self, images):
        together = images.squeeze(2).transpose(0, 1)
        coarse, details = split_detail(together, 1.0)
        assert torch.allclose(coarse + details, together, atol=1e-6)
        assert torch.allclose(details[:, 1:2], detail(together[:, 1:2]), atol=1e-6)
        assert split_detail(together.bfloat16(), 1.0)[1].dtype == torch.float32


class TestContrastOfDecoded:
    SIGMA = 1.5

    def gained(self, images, largest=4.0, floor=1e-3):
        return with_contrast_of_decoded(split_detail(images, self.SIGMA)[1][:, :2], images, self.SIGMA, largest, floor)

    @pytest.mark.parametrize(("lost", "gain"), [(1.0, 1), (0.5, 2), (0.1, 4), (2.0, 1), (-0.5, 1)])
    def test_a_source_of_less_contrast_gets_that_of_the_decoded_image(self, images, lost, gain):
        """Up to the largest gain; nothing is weakened, and what is upside down has nothing in common."""
        decoded, other, _ = images
        veiled = 0.5 + lost * (decoded - 0.5)
        gained = self.gained(torch.cat([veiled, other, decoded], dim=1))
        assert torch.allclose(gained[:, :1], gain * split_detail(veiled, self.SIGMA)[1], atol=1e-3)
        # infrared and visible are taken alike
        assert torch.equal(self.gained(torch.cat([other, veiled, decoded], dim=1)), gained.flip(1))

    def test_what_is_flat_beside_the_floor_stays_as_it_is(self, images):
        flat = 0.5 + 0.001 * (images[0] - 0.5)
        gained = self.gained(torch.cat([flat, flat, 0.5 + 10 * (flat - 0.5)], dim=1), floor=10.0)
        assert torch.allclose(gained[:, :1], split_detail(flat, self.SIGMA)[1], atol=1e-6)

    def test_by_hand_on_a_wave(self):
        """Inside a wave all Gaussians give the wave again, weaker, and squares have the mean of a half."""
        sigma, period, floor = 5.0, 16.0, 2 / 255
        wave = torch.sin(torch.arange(256) * 2 * math.pi / period).expand(1, 1, 8, 256)
        source, decoded = 0.5 + 0.05 * wave, 0.5 + 0.15 * wave
        passed = {share: math.exp(-((2 * math.pi * share * sigma / period) ** 2) / 2) for share in (0.3, 1, 1.2)}
        amplitude = 0.05 * (passed[0.3] - passed[1.2])
        gain = (3 * amplitude**2 / 2 + floor**2) / (amplitude**2 / 2 + floor**2)
        expected = 0.05 * gain * (1 - passed[1])
        together = torch.cat([source, source, decoded], dim=1)
        gained = with_contrast_of_decoded(split_detail(together, sigma)[1][:, :2], together, sigma, 4.0, 2.0)
        assert torch.allclose(gained[..., 64:192], (expected * wave).expand(1, 2, 8, 256)[..., 64:192], atol=2e-4)

    def test_half_precision_takes_no_digits(self, images):
        half = torch.cat(list(images), dim=1).bfloat16()
        assert torch.equal(self.gained(half), self.gained(half.float()))


@pytest.mark.parametrize("gained", [False, True])
def test_a_refined_pixel_depends_on_nothing_farther_than_the_reach(gained):
    sigma = 1.5
    images = torch.rand(1, 3, 4, 80, generator=torch.Generator().manual_seed(1))
    # both sources have less contrast than the decoded image, so that there is something to gain
    images[:, :2] = 0.4 * images[:, 2:] + 0.1 * images[:, :2]
    trust = torch.zeros(1, 2, 4, 80)

    def refined(images):
        coarse, details = split_detail(images, sigma)
        if gained:
            of_sources = with_contrast_of_decoded(details[:, :2], images, sigma, 4.0, 1.0)
            details = torch.cat([of_sources, details[:, 2:]], dim=1)
        weights = source_weights(trust, details, sigma, 8.0, 1.0, 3.0, 2.0, 60.0)
        return take_detail(coarse[:, 2:], details, weights)

    changed = images.clone()
    changed[..., 40] = 1 - changed[..., 40]
    differs = (refined(images) != refined(changed)).any(dim=2)[0, 0].nonzero().flatten()
    # the outermost pixel of each Gaussian counts too little to be seen in float32
    nearest = 2 * blur_radius(sigma) if gained else blur_radius(sigma)
    assert nearest < 40 - differs.min() <= refinement_reach(sigma, gained)
    assert differs.max() - 40 <= refinement_reach(sigma, gained)


class TestLivelierSource:
    NUMBERS = {"sigma": 1.0, "sharpness": 5.0}

    def test_sources_alike_are_equally_lively(self, images):
        assert not livelier_source(detail(images[0]), detail(images[0]), **self.NUMBERS, floor=1.0).any()

    def test_twice_the_contrast_counts_two_to_the_sharpness(self, images):
        of_infrared = detail(images[0])
        livelier = livelier_source(of_infrared, 2 * of_infrared, **self.NUMBERS, floor=1e-3)
        assert torch.allclose(livelier, torch.full_like(livelier, -5 * math.log(2)), atol=1e-3)


class TestSourceWeights:
    NUMBERS = {"sigma": 1.0, "sharpness": 8.0, "floor": 1.0, "limit": 4.0, "agreement": 12.0, "tolerance": 10.0}
    SIDE = 16

    def weights(self, infrared, visible, decoded, trust=(0.0, 0.0), **numbers):
        """Source weights in the middle of three `(SIDE, SIDE)` details."""
        details = torch.stack([infrared, visible, decoded])[None]
        logits = torch.tensor(trust).view(1, 2, 1, 1).expand(1, 2, self.SIDE, self.SIDE)
        return source_weights(logits, details, **{**self.NUMBERS, **numbers})[0, :, self.SIDE // 2, self.SIDE // 2]

    def stripes(self, levels):
        """Alternating plus and minus so many grey values: the mean square is the same everywhere."""
        return levels / 255 * (torch.arange(float(self.SIDE)) % 2 * 2 - 1).expand(self.SIDE, self.SIDE)

    def test_the_source_that_is_confirmed_is_taken(self):
        one, other = self.stripes(20.0), self.stripes(20.0).T
        assert self.weights(one, other, one)[0] > 0.999
        assert self.weights(one, other, other)[1] > 0.999

    def test_noise_is_lively_and_not_confirmed(self):
        noise = 40 / 255 * torch.randn(self.SIDE, self.SIDE, generator=torch.Generator().manual_seed(0))
        scene = self.stripes(8.0)
        assert self.weights(noise, scene, scene)[1] > 0.999
        # what neither source confirms comes from the decoded image
        assert self.weights(noise, noise.T, scene)[2] > 0.999

    def test_by_hand(self):
        """Distances of 6 and 9 grey values, activities of 16 and 1, one floor of one grey value."""
        infrared, visible, decoded = self.stripes(16.0), self.stripes(1.0), self.stripes(10.0)
        livelier = 8 / 2 * math.log((16**2 + 1) / (1**2 + 1))
        between = (0.5 + 4 * math.tanh(livelier / 4)) / 2
        logits = [
            -6 * math.log(6**2 + 1) + between,
            -6 * math.log(9**2 + 1) - between,
            -12 * math.log(10) + 0.25,
        ]
        # trust in the decoded image, and in infrared
        weights = self.weights(infrared, visible, decoded, trust=(0.25, 0.5))
        assert torch.allclose(weights, torch.tensor(logits).softmax(0), atol=1e-4)

    def test_at_the_tolerance_a_source_and_the_decoded_image_count_alike(self):
        flat = torch.zeros(self.SIDE, self.SIDE)
        # the floor is part of the distance: 7 squared and 1 squared are 50
        weights = self.weights(self.stripes(7.0), self.stripes(-7.0), flat, tolerance=50**0.5)
        assert torch.allclose(weights, torch.full((3,), 1 / 3), atol=1e-4)

    def test_liveliness_decides_between_sources_confirmed_alike_up_to_its_limit(self):
        decoded = self.stripes(30.0)
        for limit in (1.0, 3.0):
            weights = self.weights(self.stripes(50.0), self.stripes(10.0), decoded, limit=limit)
            # 8 log 5 is far beyond either limit
            assert weights[0] / weights[1] == pytest.approx(math.exp(limit), rel=0.01)

    def test_trust_moves_the_choice(self):
        one = self.stripes(20.0)
        even = self.weights(one, one, one)
        assert even[0] == pytest.approx(even[1].item())
        assert self.weights(one, one, one, trust=(0.0, 3.0))[0] > 0.9
        assert self.weights(one, one, one, trust=(60.0, 0.0))[2] > 0.9

    def test_they_add_up_to_one_and_autocast_takes_no_digits(self, images):
        details = split_detail(images.squeeze(2).transpose(0, 1), 1.0)[1]
        trust = torch.randn(2, 2, 16, 24, generator=torch.Generator().manual_seed(1))
        weights = source_weights(trust, details, **self.NUMBERS)
        assert torch.allclose(weights.sum(dim=1), torch.ones(2, 16, 24)) and (weights >= 0).all()
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(source_weights(trust, details, **self.NUMBERS), weights)
        alone = source_weights(trust[1:], details[1:], **self.NUMBERS)
        assert torch.allclose(alone, weights[1:], atol=1e-6)


class TestTakenDetail:
    @pytest.fixture
    def split(self, images):
        """`G * F`, and the details of infrared, visible and decoded."""
        decoded, infrared, visible = images
        return gaussian_blur(decoded, 1.0), torch.cat([detail(infrared), detail(visible), detail(decoded)], dim=1)

    def test_a_decoder_that_is_trusted_gives_its_own_image(self, images, split):
        assert torch.allclose(take_detail(*split, weights_of(decoded=1)), images[0], atol=1e-6)

    @pytest.mark.parametrize("trusted", ["infrared", "visible"])
    def test_detail_comes_from_the_trusted_source_and_all_else_from_the_decoder(self, images, split, trusted):
        source = images[1] if trusted == "infrared" else images[2]
        assert torch.equal(take_detail(*split, weights_of(**{trusted: 1})), split[0] + detail(source))

    def test_shares_mix_the_details(self, images, split):
        decoded, infrared, visible = images
        expected = split[0] + 0.5 * detail(infrared) + 0.25 * detail(visible) + 0.25 * detail(decoded)
        taken = take_detail(*split, weights_of(infrared=0.5, visible=0.25, decoded=0.25))
        assert torch.allclose(taken, expected, atol=1e-6)

    def test_each_pixel_has_its_own_weights(self, split):
        weights = weights_of(infrared=1).clone()
        weights[..., 12:] = weights_of(visible=1)[..., 12:]
        left, right = (take_detail(*split, weights_of(**{name: 1})) for name in SOURCES[:2])
        assert torch.equal(take_detail(*split, weights), torch.cat([left[..., :12], right[..., 12:]], dim=-1))

    def test_gradients_reach_the_decoded_image_through_its_detail_and_the_weights(self, images):
        decoded = images[0].clone().requires_grad_()
        coarse, details = split_detail(torch.cat([*images[1:], decoded], dim=1), 1.0)
        weights = source_weights(torch.zeros(2, 2, 16, 24), details, **TestSourceWeights.NUMBERS)
        weights[:, 0].sum().backward(retain_graph=True)
        assert decoded.grad.abs().sum() > 0
        decoded.grad = None
        take_detail(coarse[:, 2:], details, weights).sum().backward()
        assert decoded.grad.abs().sum() > 0


class TestCoarseStructure:
    def test_an_even_coarse_image_sets_the_brightness_and_leaves_what_is_finer(self, images):
        decoded = images[0]
        taken = take_coarse_structure(decoded, torch.full_like(decoded, 0.8), 1.0)
        assert torch.allclose(taken, decoded - gaussian_blur(decoded, 1.0) + 0.8, atol=1e-6)

    def test_its_own_structure_changes_nothing(self, images):
        assert torch.allclose(take_coarse_structure(images[0], images[0], 1.0), images[0], atol=1e-6)

    def test_enlarged_lies_between_its_pixels(self):
        # centres at 1/4 and 3/4 between neighbours, as Pillow and OpenCV have them; the outermost as the edge
        assert torch.allclose(enlarged(torch.tensor([[[[0.0, 1.0]]]]), 2)[0, 0, 0], torch.tensor([0, 0.25, 0.75, 1]))
