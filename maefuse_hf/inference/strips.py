# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""A pair of any size fused in strips from above: what is held besides the pair grows with its width alone, and with a
small part of its area for the coarse structure."""

from collections import deque
from collections.abc import Iterable, Iterator
from math import ceil

import torch
from torch import Tensor

from ..modeling_maefuse import MaeFuseModel
from ..refinement import blur_radius, refinement_reach, shrunk, take_coarse_structure, to_whole_patches
from ..strategies import DEFAULT_CONTOUR, DEFAULT_FUSION, Contour, FusionStrategy, check_strategy
from ..tiles import Maps
from .pair_rows import PairRows

ROWS_SHRUNK_AT_ONCE = 256
"""Rows of the small pair that are made together; bounds memory, not the result."""


@torch.inference_mode()
def fused_strips(
    model: MaeFuseModel,
    pair: PairRows,
    fusion: FusionStrategy = DEFAULT_FUSION,
    contour: Contour = DEFAULT_CONTOUR,
) -> Iterator[Tensor]:
    """What `MaeFuseModel.forward` calls `fused`, of the pair without its padding.

    Yields:
        `(1, 1, rows, width)` float32 luminance in [0, 1], from above, without gaps.
    """
    check_strategy(fusion, contour)
    height, width = pair.size
    grid = pair.padded_size[0] // model.patch_size, pair.padded_size[1] // model.patch_size
    tiles = model.tiles(grid)

    def rows(begin: int, end: int) -> list[Tensor]:
        return [image.to(model.device) for image in pair.luminance(begin, end)]

    def fuse(infrared: Tensor, visible: Tensor) -> Maps:
        """Trust lies behind the decoded image, where there is any."""
        return {"maps": torch.cat(list(model.fuse_tiles(infrared, visible, fusion, contour).values()), dim=1)}

    factor = model.config.coarse_factor
    coarse = None
    if factor is not None and tiles.count > 1:
        small = shrunk_pair(pair, factor, model)
        coarse = model.decode_pair(small[0], small[1], fusion, contour)
    maps = tiles.join_rows(row["maps"] for row in tiles.through(fuse, rows, model.patch_size))
    if coarse is not None and factor is not None:
        maps = with_coarse_structure(maps, coarse, factor, model.config.coarse_sigma, pair.padded_size[0])

    config = model.config
    around = refinement_reach(config.source_detail_sigma or 0, config.detail_gain is not None)
    for window, top, begin, end in windows(content(maps, height, width), around, height):
        decoded, trust = window[:, :1], window[:, 1:] if window.shape[1] > 1 else None
        infrared, visible = (image[..., :width] for image in rows(top, top + window.shape[-2]))
        refined, _ = model.refine(decoded, trust, infrared, visible)
        yield refined[..., begin - top : end - top, :].clamp(0, 1)


def shrunk_pair(pair: PairRows, factor: int, model: MaeFuseModel) -> list[Tensor]:
    """The pair `factor` times smaller, as `MaeFuseModel.with_coarse_structure` makes it."""
    height, step = pair.padded_size[0], ROWS_SHRUNK_AT_ONCE * factor
    parts = [
        [shrunk(image, factor) for image in pair.luminance(begin, min(begin + step, height))]
        for begin in range(0, height, step)
    ]
    return [to_whole_patches(torch.cat(rows, dim=-2), model.patch_size).to(model.device) for rows in zip(*parts)]


def with_coarse_structure(
    maps: Iterable[Tensor], coarse: Tensor, factor: int, sigma: float, height: int
) -> Iterator[Tensor]:
    """Strips `(1, C, rows, W)` of `height` rows in all, the first channel with the coarse structure of `coarse`."""
    # the outermost rows of a window are enlarged without all their neighbours
    reach = blur_radius(sigma) + 2 * factor
    for window, top, begin, end in windows(maps, reach, height):
        first = ceil(top / factor)
        decoded = window[:, :1, first * factor - top :]
        around = coarse[..., first : first + ceil(decoded.shape[-2] / factor) + 1, :]
        mended = take_coarse_structure(decoded, around, factor, sigma)
        inside = mended[..., begin - first * factor : end - first * factor, :]
        yield torch.cat([inside, window[:, 1:, begin - top : end - top]], dim=1)


def content(strips: Iterable[Tensor], height: int, width: int) -> Iterator[Tensor]:
    """Strips without what lies below `height` or right of `width`."""
    begin = 0
    for strip in strips:
        if begin < height:
            yield strip[..., : height - begin, :width]
        begin += strip.shape[-2]


def windows(strips: Iterable[Tensor], reach: int, height: int) -> Iterator[tuple[Tensor, int, int, int]]:
    """Each of some strips with `reach` rows of its neighbours, as far as there are any.

    Args:
        strips: `(B, C, rows, W)` from above, without gaps.
        height: rows of all of them.

    Yields:
        the window, its first row, and where the strip begins and ends.
    """
    held: Tensor | None = None
    first = there = 0
    waiting: deque[tuple[int, int]] = deque()
    for strip in strips:
        waiting.append((there, there + strip.shape[-2]))
        there += strip.shape[-2]
        held = strip if held is None else torch.cat([held, strip], dim=-2)
        while waiting and (there == height or waiting[0][1] + reach <= there):
            begin, end = waiting.popleft()
            top, bottom = max(0, begin - reach), min(there, end + reach)
            yield held[..., top - first : bottom - first, :], top, begin, end
            kept = max(first, end - reach)
            held, first = held[..., kept - first :, :], kept
