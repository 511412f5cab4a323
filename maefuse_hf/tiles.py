# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Equal tiles that cover an image, cut out and joined again row by row: time grows with the area, and memory need not
grow with more than the width."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TypeAlias

import torch
from torch import Tensor

TILES_AT_ONCE, TILES_AT_ONCE_ON_A_GPU = 8, 128
"""How many tiles of a batch are worked on together at most; bounds memory, not the result. A CPU is as fast with few,
a GPU has nothing to do between them (docs/gpu.md)."""

Maps: TypeAlias = dict[str, Tensor]
"""`(B, C, h, w)` by name, of pixels or of cells."""

RowReader: TypeAlias = Callable[[int, int], Sequence[Tensor]]
"""From a first pixel row to another, exclusive, the `(B, C, h, W)` of some images."""


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

    def through(self, work: Callable[..., Maps], rows: RowReader, cell: int) -> Iterator[Maps]:
        """Each row of tiles through `work`: what comes out has been joined from left to right.

        Args:
            work: takes `(tiles, C, height * cell, width * cell)` of each image. What it gives back has the tiles' size,
                in cells or in any multiple of them.
            rows: reads the images.
            cell: pixels of the images a cell.
        """
        for top in self.tops:
            cut = [self.cut(image, cell) for image in rows(top * cell, (top + self.height) * cell)]
            # images of one tile stay in the batch they are in
            at_once = tiles_at_once(cut[0].device) if self.count > 1 else len(cut[0])
            parts = [work(*batch) for batch in zip(*(part.split(at_once) for part in cut))]
            yield {name: self.join_row(torch.cat([part[name] for part in parts])) for name in parts[0]}

    def cut(self, row: Tensor, cell: int = 1) -> Tensor:
        """`(B, C, height * cell, columns * cell)` to `(tiles * B, C, height * cell, width * cell)`, left to right."""
        return torch.cat([row[..., left * cell : (left + self.width) * cell] for left in self.lefts])

    def join_row(self, parts: Tensor) -> Tensor:
        """What `cut` gave, or other maps of the tiles' size, put together again."""
        columns = parts.unflatten(0, (len(self.lefts), -1))
        return torch.cat(list(blended(columns, self.lefts, self.width, dim=-1)), dim=-1)

    def join_rows(self, rows: Iterable[Tensor]) -> Iterator[Tensor]:
        """`(B, C, h, W)` of each row of tiles, from above, to strips of the whole that touch and do not overlap.

        A strip is given as soon as no further row reaches into it.
        """
        return blended(rows, self.tops, self.height, dim=-2)


def tiles_at_once(device: torch.device) -> int:
    """How many tiles a device works on together."""
    return TILES_AT_ONCE if device.type == "cpu" else TILES_AT_ONCE_ON_A_GPU


def blended(parts: Iterable[Tensor], begins: tuple[int, ...], side: int, dim: int) -> Iterator[Tensor]:
    """Parts of `side` cells that overlap along a dimension, one by one, to what is finished after each.

    Where they overlap it is a mean that leans to the part whose middle is nearer: a part's weight rises by one a pixel
    from its ends to its middle, and at each place the weights are scaled to a sum of one.
    """
    if len(begins) == 1:
        yield from parts
        return
    pending: Tensor | None = None
    nexts = (*begins[1:], begins[-1] + side)
    for number, (part, begin, following) in enumerate(zip(parts, begins, nexts, strict=True)):
        length = part.shape[dim]
        weights = blend_weights(begins, side, length // side, part)[number]
        weighted = part * weights.unflatten(0, (-1, *[1] * (-1 - dim)))
        if pending is not None:
            weighted.narrow(dim, 0, pending.shape[dim]).add_(pending)
        step = (following - begin) * (length // side)
        yield weighted.narrow(dim, 0, step)
        pending = weighted.narrow(dim, step, length - step)


def blend_weights(begins: tuple[int, ...], side: int, cell: int, like: Tensor) -> Tensor:
    """What each part contributes at each of its pixels: `(parts, side * cell)`, dtype and device of `like`."""
    steps = torch.arange(1, side * cell + 1, device=like.device)
    weight = torch.minimum(steps, steps.flip(0)).float()
    places = torch.tensor(begins, device=like.device)[:, None] * cell + steps - 1
    total = torch.zeros((begins[-1] + side) * cell, device=like.device)
    total = total.index_add(0, places.flatten(), weight.repeat(len(begins)))
    return (weight / total[places]).to(like.dtype)


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


def tokens_to_map(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """`(B, rows * columns, C)` in raster order to `(B, C, rows, columns)`."""
    return tokens.transpose(1, 2).unflatten(2, grid)


def map_to_tokens(maps: Tensor) -> Tensor:
    """`(B, C, rows, columns)` to `(B, rows * columns, C)` in raster order."""
    return maps.flatten(2).transpose(1, 2)
