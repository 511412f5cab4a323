import numpy as np
import pytest
import torch

from maefuse_hf.guide import guide
from maefuse_hf.losses import (
    CONTRAST_FLOOR,
    SSIM_C1,
    SSIM_C2,
    alignment_loss,
    alignment_terms,
    correlation_loss,
    edge_loss,
    fusion_terms,
    gradient_loss,
    gradient_magnitude,
    guide_contrast_loss,
    guide_edge_loss,
    guide_structure_loss,
    intensity_loss,
    laplacian_loss,
    laplacian_magnitude,
    reconstruction_terms,
    require_fusion_terms,
    sobel,
    structural_similarity,
    structure_loss,
    weighted_sum,
)


def test_intensity_is_the_distance_to_the_brighter_image():
    infrared = torch.tensor([[0.2, 0.8], [0.5, 0.0]])[None, None]
    visible = torch.tensor([[0.6, 0.1], [0.5, 0.4]])[None, None]
    fused = torch.tensor([[0.6, 0.6], [0.7, 0.0]])[None, None]
    assert torch.isclose(intensity_loss(fused, infrared, visible), torch.tensor((0.0 + 0.2 + 0.2 + 0.4) / 4))
    assert intensity_loss(torch.maximum(infrared, visible), infrared, visible) == 0


def test_sobel_keeps_direction_and_sign():
    across = torch.arange(5.0).expand(1, 1, 5, 5)
    for image, expected in ((across, (8.0, 0.0)), (-across.mT, (0.0, -8.0))):
        assert torch.equal(sobel(image)[0, :, 2, 2], torch.tensor(expected))


def test_gradient_magnitude_of_a_ramp_a_step_and_a_constant():
    ramp = torch.arange(5.0).expand(1, 1, 5, 5)
    assert torch.allclose(gradient_magnitude(ramp)[..., 1:-1], torch.tensor(8.0))
    assert torch.allclose(gradient_magnitude(ramp)[..., 0], torch.tensor(4.0))
    step = torch.zeros(1, 1, 4, 4)
    step[..., 2:, :] = 1
    assert gradient_magnitude(step)[0, 0, :, 1].tolist() == [0, 4, 4, 0]
    assert gradient_magnitude(torch.full((1, 1, 3, 3), 0.7)).abs().max() < 1e-6


def test_both_directions_are_added():
    corner = torch.zeros(1, 1, 3, 3)
    corner[..., 0, 0] = 1
    # at the centre the corner weighs -1 in each of the two Sobel kernels
    assert gradient_magnitude(corner)[0, 0, 1, 1] == 2


def test_gradient_loss_compares_with_the_stronger_gradient():
    flat, ramp = torch.zeros(1, 1, 6, 6), torch.arange(6.0).expand(1, 1, 6, 6) / 6
    assert gradient_loss(ramp, flat, ramp) == 0
    assert gradient_loss(1 - ramp, ramp, flat) < 1e-6
    assert torch.isclose(gradient_loss(flat, flat, ramp), gradient_magnitude(ramp).mean())


def test_alignment_is_the_squared_distance_to_the_mean_feature():
    infrared, visible = torch.zeros(1, 2, 3), torch.full((1, 2, 3), 2.0)
    assert alignment_loss(torch.ones(1, 2, 3), infrared, visible) == 0
    assert alignment_loss(torch.full((1, 2, 3), 4.0), infrared, visible) == 9


def test_terms_are_named():
    image = torch.rand(1, 1, 8, 8)
    assert reconstruction_terms(image + 0.5, image)["reconstruction"] == pytest.approx(0.25)
    features = torch.rand(1, 4, 8)
    assert alignment_terms(features + 2, features, features)["alignment"] == pytest.approx(4)
    terms = fusion_terms(image, image, image, {"gradient": 1.0, "intensity": 1.0})
    assert terms == {"gradient": 0, "intensity": 0}


def test_only_the_weighted_terms_are_made():
    image = torch.rand(1, 1, 8, 8)
    assert list(fusion_terms(image, image, image, {"gradient": 1.0})) == ["gradient"]
    assert list(fusion_terms(image, image, image, {"gradient": 1.0, "intensity": 1.0})) == ["intensity", "gradient"]


def test_unknown_terms_are_refused():
    message = "loss_weights names colour; the terms are intensity, gradient, edges, .*, guide, guide_edges, guide_str"
    with pytest.raises(ValueError, match=message):
        require_fusion_terms({"colour": 1.0})
    with pytest.raises(ValueError, match="loss_weights names blend; the terms are intensity"):
        require_fusion_terms({"blend": 1.0})
    with pytest.raises(ValueError, match="loss_weights gives no term any weight"):
        require_fusion_terms({"intensity": 0.0})
    require_fusion_terms({"intensity": 0.0, "laplacian": 1.0})
    require_fusion_terms({"guide": 1.0, "guide_edges": 0.5, "guide_structure": 0.1})


def test_the_laplacian_of_a_dot_and_of_a_plane():
    dot = torch.zeros(1, 1, 5, 5)
    dot[..., 2, 2] = 0.5
    expected = torch.zeros(5, 5)
    expected[2, 2] = 2.0
    expected[[1, 3, 2, 2], [2, 2, 1, 3]] = 0.5
    assert torch.equal(laplacian_magnitude(dot)[0, 0], expected)
    plane = (torch.arange(5.0)[:, None] + 2 * torch.arange(5.0))[None, None]
    assert torch.equal(laplacian_magnitude(plane)[..., 1:-1, 1:-1], torch.zeros(1, 1, 3, 3))


def test_the_laplacian_loss_wants_the_stronger_of_both():
    dot = torch.zeros(1, 1, 5, 5)
    dot[..., 2, 2] = 0.5
    nothing = torch.zeros(1, 1, 5, 5)
    # a dot of half a grey value: once 2 and four times 0.5, over 25 pixels
    assert laplacian_loss(nothing, dot, nothing) == pytest.approx(4 / 25)
    assert laplacian_loss(nothing, dot / 2, dot) == pytest.approx(4 / 25)
    assert laplacian_loss(-dot, nothing, dot) == 0


def test_guide_terms_are_distances_to_the_guide():
    infrared, visible = torch.rand(2, 2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    weights = {"guide_contrast": 0.1, "guide_structure": 0.1, "guide": 1.0, "guide_edges": 0.5}
    target = guide(infrared, visible)
    at_target = fusion_terms(target, infrared, visible, weights)
    assert list(at_target) == ["guide", "guide_edges", "guide_structure", "guide_contrast"]
    assert at_target["guide"] == at_target["guide_edges"] == at_target["guide_contrast"] == 0
    assert at_target["guide_structure"] == pytest.approx(0, abs=1e-5)
    off = fusion_terms(target + 0.25, infrared, visible, weights)
    assert off["guide"] == pytest.approx(0.25)
    # an offset has no edges and no contrast
    assert off["guide_edges"] == pytest.approx(0, abs=1e-6)
    assert off["guide_contrast"] == pytest.approx(0, abs=1e-5)
    assert list(fusion_terms(target, infrared, visible, {"guide_edges": 1.0, "edges": 1.0})) == ["edges", "guide_edges"]
    # a guide that was made before is taken as it is
    assert fusion_terms(target, infrared, visible, {"guide": 1.0}, target - 0.5)["guide"] == pytest.approx(0.5)


def test_guide_edges_want_direction_and_sign():
    ramp, flat = torch.arange(6.0).expand(1, 1, 6, 6) / 6, torch.zeros(1, 1, 6, 6)
    # one of two components is 8 / 6 off, half of that in the two outermost columns of six
    expected = (4 / 6 + 2 / 6 / 2) * 8 / 6 / 2
    assert guide_edge_loss(flat, ramp) == pytest.approx(expected)
    assert guide_edge_loss(-ramp, ramp) == pytest.approx(2 * expected)
    assert guide_edge_loss(ramp + 0.3, ramp) < 1e-6


def test_guide_structure_is_one_minus_ssim():
    one, other = torch.rand(2, 2, 1, 9, 9, generator=torch.Generator().manual_seed(0))
    expected = 1 - structural_similarity(one, other).item()
    assert expected > 0.5
    assert guide_structure_loss(one, other) == pytest.approx(expected)


def test_guide_contrast_is_the_same_for_half_and_for_twice():
    # a chessboard of a and -a, mean near zero: in a window of 49 pixels the variance is a^2 (1 - 1 / 49^2)
    board = ((torch.arange(9)[:, None] + torch.arange(9)) % 2 * 2 - 1).float()[None, None]
    variance = 1 - 1 / 49**2
    cost = guide_contrast_loss(0.1 * board, 0.2 * board)
    by_hand = np.log((0.04 * variance + CONTRAST_FLOOR**2) / (0.01 * variance + CONTRAST_FLOOR**2)) / 2
    assert cost == pytest.approx(by_hand, rel=1e-5) == pytest.approx(np.log(2), rel=0.01)
    assert guide_contrast_loss(0.2 * board, 0.1 * board) == pytest.approx(cost.item())
    # direction and sign are the matter of the other terms
    assert guide_contrast_loss(-0.2 * board, 0.2 * board) == 0


def test_edges_want_the_longer_gradient_with_direction_and_sign():
    ramp, flat = torch.arange(6.0).expand(1, 1, 6, 6) / 6, torch.zeros(1, 1, 6, 6)
    steeper = 3 * ramp.mT
    assert edge_loss(steeper, ramp, steeper) == edge_loss(steeper, steeper, ramp) == 0
    assert edge_loss(ramp + 0.3, ramp, flat) < 1e-6
    # 8 / 6 apart in one component and 24 / 6 in the other; half of that in the two outermost columns or rows of six
    inside, component = 5 / 6, torch.tensor([8 / 6, 24 / 6]).mean()
    assert torch.isclose(edge_loss(ramp, ramp, steeper), inside * component)
    # the wrong way round: no gradient of Eq. 4's, twice the ramp's here
    assert torch.isclose(edge_loss(-ramp, ramp, flat), inside * torch.tensor(8 / 6))


def test_correlation_knows_neither_scale_nor_offset():
    generator = torch.Generator().manual_seed(0)
    infrared, visible = torch.rand(2, 3, 1, 8, 8, generator=generator)
    assert correlation_loss(0.3 * infrared + 0.2, infrared, infrared) == pytest.approx(0, abs=1e-6)
    assert correlation_loss(-infrared, infrared, infrared) == pytest.approx(2)
    expected = [1 - (np.corrcoef(i.ravel(), v.ravel())[0, 1] + 1) / 2 for i, v in zip(infrared, visible)]
    assert correlation_loss(visible, infrared, visible) == pytest.approx(np.mean(expected), abs=1e-6)
    flat = torch.full_like(infrared, 0.5)
    assert correlation_loss(flat, infrared, visible) == 1


def test_structural_similarity_by_hand():
    image = torch.rand(2, 1, 12, 12)
    assert structural_similarity(image, image) == pytest.approx(1, abs=1e-5)
    dark, bright = torch.full((1, 1, 7, 7), 0.2), torch.full((1, 1, 7, 7), 0.6)
    # without contrast only the luminance part is left; float32 leaves a ten-millionth in the variances
    expected = (2 * 0.12 + SSIM_C1) / (0.04 + 0.36 + SSIM_C1)
    assert structural_similarity(dark, bright) == pytest.approx(expected, abs=1e-7 / SSIM_C2 * 4)
    # one window of 49 pixels, one of them 1: variance 48 / 49 ** 2, against itself turned upside down -1 / 49 ** 2
    one, other = torch.zeros(2, 1, 1, 7, 7)
    one[..., 0, 0] = other[..., 6, 6] = 1
    variance, covariance = 48 / 49**2, -1 / 49**2
    expected = (2 * covariance + 9e-4) / (2 * variance + 9e-4)
    assert structural_similarity(one, other) == pytest.approx(expected, abs=1e-5)


def test_the_structure_loss_is_the_mean_of_both():
    one, other, fused = torch.rand(3, 2, 1, 9, 9)
    both = structural_similarity(fused, one) + structural_similarity(fused, other)
    assert structure_loss(fused, one, other) == pytest.approx(1 - both.item() / 2, abs=1e-6)
    assert structure_loss(fused, fused, fused) == pytest.approx(0, abs=1e-5)


def test_the_total_is_weighted():
    terms = {"a": torch.tensor(2.0), "b": torch.tensor(3.0)}
    assert weighted_sum(terms, {"a": 10.0}) == 23
