# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Fixed two-dimensional sin-cos positions of a masked autoencoder, for any patch grid."""

import torch
from torch import Tensor, nn
from transformers.models.vit_mae.modeling_vit_mae import build_2d_sinusoidal_position_embedding


def sincos_position_embedding(grid_height: int, grid_width: int, dim: int) -> Tensor:
    """Sin-cos positions as the published MAE checkpoints hold them.

    Position (row y, column x) becomes `[sin(x w), cos(x w), sin(y w), cos(y w)]` with the frequencies
    `w_k = 10000 ** (-4 k / dim)`. transformers builds the halves as (row, column); the published checkpoints
    hold (column, row), hence the roll.

    Args:
        grid_height: number of patch rows.
        grid_width: number of patch columns.
        dim: embedding width, a multiple of four.

    Returns:
        `(grid_height * grid_width, dim)` float32, patches in raster order.

    Raises:
        ValueError: if `dim` is not a multiple of four.
    """
    return build_2d_sinusoidal_position_embedding(grid_height, grid_width, embed_dim=dim).roll(dim // 2, dims=-1)


def interpolate_position_embedding(positions: Tensor, grid_height: int, grid_width: int) -> Tensor:
    """Bicubic interpolation of a square grid of positions to another grid (DINO, as in `ViTMAEEmbeddings`).

    Runs in float32 whatever the dtype: in half precision the interpolation itself loses digits.

    Args:
        positions: `(1, side * side, dim)`, raster order.
        grid_height: number of patch rows wanted.
        grid_width: number of patch columns wanted.

    Returns:
        `(1, grid_height * grid_width, dim)` in the dtype of `positions`; `positions` itself where the grid is
        already the one wanted.
    """
    side = int(positions.shape[1] ** 0.5)
    if (grid_height, grid_width) == (side, side) and not torch.compiler.is_exporting():
        return positions
    grid = positions.float().reshape(1, side, side, -1).permute(0, 3, 1, 2)
    grid = nn.functional.interpolate(grid, size=(grid_height, grid_width), mode="bicubic", align_corners=False)
    return grid.flatten(2).transpose(1, 2).to(positions.dtype)
