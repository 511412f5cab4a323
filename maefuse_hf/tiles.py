# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Equal tiles that cover an image, cut out and joined again: time and memory grow with its area, not faster."""

from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tiles:
    """Tiles of one size on a grid of cells."""

    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    height: int
    width: int

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.tops) * len(self.lefts)

    def cut(self, maps: Tensor, cell: int = 1) -> Tensor:
        """`(B, C, rows * cell, columns * cell)` to `(count * B, C, height * cell, width * cell)`, tile by tile."""
        if self.count == 1:
            return maps
        rows, columns = (
            places(begins, side, cell, maps.device)
            for begins, side in ((self.tops, self.height), (self.lefts, self.width))
        )
        picked = maps[..., rows.flatten(), :][..., columns.flatten()]
        parts = picked.unflatten(-1, columns.shape).unflatten(-3, rows.shape)
        return parts.permute(2, 4, 0, 1, 3, 5).flatten(0, 2)

    def join(self, parts: Tensor, cell: int = 1) -> Tensor:
        """What `cut` gave, put together: where tiles overlap, a mean that leans to the one whose middle is nearer."""
        if self.count == 1:
            return parts
        by_place = parts.unflatten(0, (len(self.tops), len(self.lefts), -1))
        # pixels would lose digits under autocast
        with torch.autocast(parts.device.type, enabled=False):
            # blend weights are separable, so rows are put together first and columns then
            joined = torch.einsum("iyr,ijbcyx->jbcrx", blend_weights(self.tops, self.height, cell, parts), by_place)
            return torch.einsum("jxs,jbcrx->bcrs", blend_weights(self.lefts, self.width, cell, parts), joined)

    def join_tokens(self, parts: Tensor) -> Tensor:
        """As `join`, of tokens in raster order: `(count * B, height * width, C)` to `(B, rows * columns, C)`."""
        maps = parts.transpose(1, 2).unflatten(2, (self.height, self.width))
        return self.join(maps).flatten(2).transpose(1, 2)


def places(begins: tuple[int, ...], side: int, cell: int, device: torch.device) -> Tensor:
    """Along one direction, where each tile's pixels lie: `(tiles, side * cell)`."""
    return torch.tensor(begins, device=device)[:, None] * cell + torch.arange(side * cell, device=device)


def blend_weights(begins: tuple[int, ...], side: int, cell: int, like: Tensor) -> Tensor:
    """Along one direction, what each tile's pixels contribute: `(tiles, side * cell, length * cell)`.

    A tile's weight rises by one a pixel from its ends to its middle; over a place the blend weights add up to one.
    """
    own = places(begins, side, cell, like.device)
    steps = torch.arange(1, side * cell + 1, device=like.device)
    weight = torch.minimum(steps, steps.flip(0)).float()
    rows = torch.zeros(*own.shape, (begins[-1] + side) * cell, device=like.device)
    rows.scatter_(2, own[..., None], weight.expand_as(own)[..., None])
    return (rows / rows.sum(dim=(0, 1))).to(like.dtype)


def covering_tiles(grid: tuple[int, int], side: int, overlap: int) -> Tiles:
    """Tiles of about `side` by `side` cells, evenly spaced: as many as come nearest to that size.

    Args:
        grid: `(rows, columns)`.
        side: in cells; a tile has up to half more or a third less where that covers the grid with less overlap.
        overlap: how many cells neighbours share at least.
    """
    (tops, height), (lefts, width) = (cover(length, side, overlap) for length in grid)
    return Tiles(tops, lefts, height, width)


def cover(length: int, side: int, overlap: int) -> tuple[tuple[int, ...], int]:
    """Where evenly spaced tiles begin, the first at 0 and the last ending at `length`, and how long they are."""
    count = max(1, round((length - overlap) / max(1, side - overlap)))
    tile = min(length, ceil((length + (count - 1) * overlap) / count))
    return tuple(round(number * (length - tile) / max(1, count - 1)) for number in range(count)), tile
