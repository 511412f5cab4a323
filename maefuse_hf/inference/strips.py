# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""A pair of any size fused in strips from above: what is held besides the pair grows with its width alone, and with a
small part of its area for the coarse structure."""

from collections import deque
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from ..modeling_maefuse import MaeFuseModel
from ..refinement import enlarged, refinement_reach, shrunk, to_whole_patches
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

    factor = model.config.coarse_factor
    coarse = None
    if factor is not None and tiles.count > 1:
        small = shrunk_pair(pair, factor, model)
        coarse = model.fuse_pair(small[0], small[1], fusion, contour)["decoded"]

    def luminance(begin: int, end: int) -> list[Tensor]:
        return [image.to(model.device) for image in pair.luminance(begin, end)]

    def rows(begin: int, end: int) -> list[Tensor]:
        """The pair's, and those of the coarse image where there is one."""
        if coarse is None or factor is None:
            return luminance(begin, end)
        return [*luminance(begin, end), enlarged_rows(coarse, factor, begin, end)[..., : pair.padded_size[1]]]

    def fuse(infrared: Tensor, visible: Tensor, *coarse: Tensor) -> Maps:
        """Trust lies behind the decoded image, where there is any."""
        maps = model.with_coarse_structure(model.fuse_tiles(infrared, visible, fusion, contour), *coarse)
        return {"maps": torch.cat(list(maps.values()), dim=1)}

    maps = tiles.join_rows(row["maps"] for row in tiles.through(fuse, rows, model.patch_size))
    config = model.config
    around = refinement_reach(config.source_detail_sigma or 0, config.detail_gain is not None)
    for window, top, begin, end in windows(content(maps, height, width), around, height):
        decoded, trust = window[:, :1], window[:, 1:] if window.shape[1] > 1 else None
        infrared, visible = (image[..., :width] for image in luminance(top, top + window.shape[-2]))
        refined, _ = model.refine(decoded, trust, infrared, visible)
        yield refined[..., begin - top : end - top, :].clamp(0, 1)


def shrunk_pair(pair: PairRows, factor: int, model: MaeFuseModel) -> list[Tensor]:
    """The pair `factor` times smaller, as `MaeFuseModel.fuse_pair` makes it."""
    height, step = pair.padded_size[0], ROWS_SHRUNK_AT_ONCE * factor
    parts = [
        [shrunk(image, factor) for image in pair.luminance(begin, min(begin + step, height))]
        for begin in range(0, height, step)
    ]
    return [to_whole_patches(torch.cat(rows, dim=-2), model.patch_size).to(model.device) for rows in zip(*parts)]


def enlarged_rows(coarse: Tensor, factor: int, begin: int, end: int) -> Tensor:
    """Rows `begin` to `end`, exclusive, of `(B, 1, h, w)` enlarged by `factor`; each lies between two of its rows."""
    first, last = max(0, begin // factor - 1), end // factor + 2
    return enlarged(coarse[..., first:last, :], factor)[..., begin - first * factor : end - first * factor, :]


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
