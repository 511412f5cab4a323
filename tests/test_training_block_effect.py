import pytest
import torch

from training.block_effect import block_effect


def test_a_ramp_has_none():
    ramp = torch.arange(16.0).view(1, 1, 1, 16) + torch.arange(16.0).view(1, 1, 16, 1)
    assert block_effect(ramp, 4).item() == pytest.approx(1)


def test_it_is_the_ratio_of_the_steps():
    # a step of 3 into each new patch of 4, of 1 elsewhere, both ways
    steps = torch.tensor([3.0 if place % 4 == 0 else 1.0 for place in range(1, 12)])
    line = torch.cat([torch.zeros(1), steps.cumsum(0)])
    image = line.view(1, 1, 1, -1) + line.view(1, 1, -1, 1)
    assert block_effect(image, 4).item() == pytest.approx(3)
    assert block_effect(torch.cat([image, -image]), 4).tolist() == pytest.approx([3, 3])


def test_flat_patches_have_no_number():
    assert block_effect(torch.zeros(1, 1, 8, 8), 4).isnan().item()
