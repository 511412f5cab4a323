import torch

from maefuse_hf.losses_maefuse import alignment_loss, gradient_loss, gradient_magnitude, intensity_loss, sobel


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
