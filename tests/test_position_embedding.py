import math

import pytest
import torch

from maefuse_hf.position_embedding import interpolate_position_embedding, sincos_position_embedding


def test_column_comes_first_and_frequencies_fall():
    positions = sincos_position_embedding(2, 3, 8)
    assert positions.shape == (6, 8)
    row, column = 1, 2
    slow = 10000 ** (-1 / 2)
    expected = [
        math.sin(column),
        math.sin(column * slow),
        math.cos(column),
        math.cos(column * slow),
        math.sin(row),
        math.sin(row * slow),
        math.cos(row),
        math.cos(row * slow),
    ]
    assert torch.allclose(positions[row * 3 + column], torch.tensor(expected), atol=1e-6)


def test_width_must_be_a_multiple_of_four():
    with pytest.raises(ValueError, match="divisible by 4"):
        sincos_position_embedding(2, 2, 6)


def test_the_pretraining_grid_is_left_alone():
    positions = torch.randn(1, 16, 8)
    assert interpolate_position_embedding(positions, 4, 4) is positions


def test_interpolation_keeps_constants_and_raster_order():
    rows = torch.arange(4.0).repeat_interleave(4)
    positions = torch.stack([torch.full((16,), 3.0), rows], dim=-1)[None]
    stretched = interpolate_position_embedding(positions, 8, 2).reshape(8, 2, 2)
    assert torch.allclose(stretched[..., 0], torch.tensor(3.0))
    assert (stretched[1:, :, 1] > stretched[:-1, :, 1]).all()
    assert torch.allclose(stretched[:, 0, 1], stretched[:, 1, 1])


def test_interpolation_runs_in_float32():
    positions = torch.randn(1, 16, 8).bfloat16()
    expected = interpolate_position_embedding(positions.float(), 5, 7).bfloat16()
    assert torch.equal(interpolate_position_embedding(positions, 5, 7), expected)
