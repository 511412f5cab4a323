# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Infrared in the photo's frame, by a rig."""

import math

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import grid_sample

from .rig import Rig

Region = tuple[int, int, int, int]

BAND = 256
"""Rows of the photo that are computed at once, so that a large photo takes no multiple of its memory."""


def warp_infrared(infrared: np.ndarray, rig: Rig, region: Region | None = None) -> np.ndarray:
    """Infrared resampled (bicubic) to the photo's pixels, kept within its own values.

    Infrared that is finer than the photo is shrunk first, antialiased. Outside of its footprint its edge goes on:
    `maefuse_hf.inference.coverage.footprint_weights` says where that is.

    Args:
        infrared: (h, w), finite, of the rig's infrared size.
        region: left, top, right, bottom in whole pixels of the photo, the last two exclusive; without one, the whole
            photo.

    Returns:
        (region's height, region's width) float32.

    Raises:
        ValueError: infrared is of another size.
    """
    height, width = infrared.shape
    rig.require_sizes((width, height), rig.visible_size)
    left, top, right, bottom = region or (0, 0, *rig.visible_size)
    values = infrared.astype(np.float32)
    shrunk = Image.fromarray(values).resize(shrunk_size(rig), Image.Resampling.BICUBIC)
    source = torch.from_numpy(np.array(shrunk))[None, None]
    warped = np.empty((bottom - top, right - left), np.float32)
    for start in range(top, bottom, BAND):
        end = min(start + BAND, bottom)
        warped[start - top : end - top] = warp_band(source, rig, (left, start, right, end))
    return warped.clip(values.min(), values.max())


def warp_band(source: torch.Tensor, rig: Rig, region: Region) -> np.ndarray:
    """A part of the photo, (height, width) float32, from infrared of any size, (1, 1, h, w) float32."""
    width, height = rig.infrared_size
    left, top, right, bottom = region
    across, down = np.meshgrid(np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5)
    places = np.stack([across, down, np.ones_like(across)], axis=-1) @ np.linalg.inv(rig.transform).T
    with np.errstate(divide="ignore", invalid="ignore"):
        # grid_sample counts from -1 to 1, edge to edge
        grid = places[..., :2] / places[..., 2:] * (2 / width, 2 / height) - 1
    # beyond the horizon of the photo's plane there is no place in infrared; these pixels lie outside of the footprint
    grid[places[..., 2] <= 0] = -1
    sampled = grid_sample(
        source,
        # far outside is as good as outside, and float32 loses no precision over it
        torch.from_numpy(grid.clip(-2, 2).astype(np.float32))[None],
        mode="bicubic",
        padding_mode="border",
        align_corners=False,
    )
    return sampled[0, 0].numpy()


def shrunk_size(rig: Rig) -> tuple[int, int]:
    """Infrared's size, or, where its pixels are smaller than the photo's, the size at which they are as large."""
    footprint = rig.footprint
    sides = np.linalg.norm(np.roll(footprint, -1, axis=0) - footprint, axis=1)
    width, height = (min(1.0, max(sides[side], sides[side + 2]) / rig.infrared_size[side]) for side in (0, 1))
    return math.ceil(rig.infrared_size[0] * width), math.ceil(rig.infrared_size[1] * height)
