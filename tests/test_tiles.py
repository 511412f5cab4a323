from itertools import pairwise, product

import pytest
import torch

from maefuse_hf.tiles import (
    TILES_AT_ONCE,
    Tiles,
    blend_weights,
    blended,
    cover,
    covering_tiles,
    map_to_tokens,
    tokens_to_map,
)


def through(tiles, work, *images, cell=1):
    """Whole maps by name, of images that go through `work` in tiles."""
    rows = list(tiles.through(work, lambda begin, end: [image[..., begin:end, :] for image in images], cell))
    return {name: torch.cat(list(tiles.join_rows([row[name] for row in rows])), dim=-2) for name in rows[0]}


def unchanged(maps):
    return {"maps": maps}


@pytest.mark.parametrize(
    ("length", "side", "overlap", "begins", "tile"),
    [
        (5, 5, 2, (0,), 5),
        (8, 4, 0, (0, 4), 4),
        # two tiles of five instead of three of four
        (9, 4, 0, (0, 4), 5),
        (8, 4, 2, (0, 2, 4), 4),
        (60, 16, 2, (0, 14, 29, 43), 17),
        (80, 16, 2, (0, 13, 26, 39, 52, 65), 15),
        (22, 16, 2, (0,), 22),
        (23, 16, 2, (0, 10), 13),
        # sides no larger than the overlap move by one
        (4, 2, 2, (0, 1), 3),
    ],
)
def test_tiles_are_evenly_spaced_about_as_large_as_asked(length, side, overlap, begins, tile):
    assert cover(length, side, overlap) == (begins, tile)


def test_tiles_overlap_and_reach_both_ends():
    for length, side, overlap in product(range(1, 90), (1, 2, 5, 16), (0, 1, 2)):
        begins, tile = cover(length, side, overlap)
        assert begins[0] == 0 and begins[-1] + tile == length
        assert all(0 < second - first <= max(1, tile - overlap) for first, second in pairwise(begins))
        assert length < side or side <= overlap or 2 / 3 * side <= tile <= 1.5 * side


def test_a_small_grid_has_one_window_of_its_own_size():
    assert covering_tiles((3, 20), 8, 2) == Tiles((0,), (0, 6, 12), 3, 8)
    assert covering_tiles((3, 8), 8, 2) == Tiles((0,), (0,), 3, 8)


def test_a_row_is_cut_tile_by_tile():
    maps = torch.arange(2 * 3 * 6.0).view(2, 1, 3, 6)
    parts = Tiles((0,), (0, 2), 3, 4).cut(maps)
    assert parts.shape == (4, 1, 3, 4)
    assert torch.equal(parts[1], maps[1, :, :, :4]) and torch.equal(parts[2], maps[0, :, :, 2:])


@pytest.mark.parametrize("cell", [1, 3])
@pytest.mark.parametrize(
    ("grid", "side", "overlap"), [((7, 11), 4, 0), ((7, 11), 4, 2), ((3, 9), 4, 1), ((2, 2), 4, 0), ((9, 9), 3, 2)]
)
def test_joined_again_they_are_what_was_cut(grid, side, overlap, cell):
    maps = torch.rand(2, 3, grid[0] * cell, grid[1] * cell)
    tiles = covering_tiles(grid, side, overlap)
    assert torch.allclose(through(tiles, unchanged, maps, cell=cell)["maps"], maps, atol=1e-6)


def test_maps_of_cells_and_of_pixels_are_joined_alike():
    maps = torch.rand(1, 1, 14, 22)
    tiles = covering_tiles((7, 11), 4, 2)

    def work(image):
        return {"pixels": image, "cells": torch.nn.functional.avg_pool2d(image, 2)}

    joined = through(tiles, work, maps, cell=2)
    assert torch.allclose(joined["pixels"], maps, atol=1e-6)
    assert torch.allclose(joined["cells"], torch.nn.functional.avg_pool2d(maps, 2), atol=1e-6)


def test_batches_are_bounded_and_images_of_one_tile_stay_together():
    sizes = []

    def work(image):
        sizes.append(len(image))
        return unchanged(image)

    through(Tiles((0, 1), tuple(range(9)), 1, 2), work, torch.rand(1, 1, 2, 10))
    assert sizes == [TILES_AT_ONCE, 1] * 2
    sizes.clear()
    through(Tiles((0,), (0,), 2, 10), work, torch.rand(20, 1, 2, 10))
    assert sizes == [20]


def test_a_strip_is_given_as_soon_as_no_further_row_reaches_into_it():
    tiles, taken = Tiles((0, 2, 4), (0,), 4, 5), []

    def rows():
        for number in range(3):
            taken.append(number)
            yield torch.full((1, 1, 4, 5), float(number))

    heights = [(len(taken), strip.shape[-2]) for strip in tiles.join_rows(rows())]
    assert heights == [(1, 2), (2, 2), (3, 4)]


@pytest.mark.parametrize("overlap", [0, 2])
def test_autocast_takes_no_digits(overlap):
    maps = torch.rand(1, 1, 5, 9)
    tiles = covering_tiles((5, 9), 4, overlap)
    with torch.autocast("cpu", torch.bfloat16):
        joined = through(tiles, unchanged, maps)["maps"]
    assert joined.dtype == torch.float32
    assert torch.equal(joined, through(tiles, unchanged, maps)["maps"])


def test_overlaps_lean_to_the_nearer_middle():
    joined = Tiles((0,), (0, 2), 1, 4).join_row(torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 1, 4))
    # weights 1 2 2 1: the third cell is 2 of the first tile to 1 of the second
    assert torch.allclose(joined[0, 0, 0], torch.tensor([0, 0, 1 / 3, 2 / 3, 1, 1]))


def test_three_parts_over_one_place():
    # weights 1 1 at each of two places; the middle places belong to two parts, begins 0 1 2
    parts = torch.tensor([[[1.0, 1.0]], [[3.0, 3.0]], [[5.0, 5.0]]])[:, None]
    joined = torch.cat(list(blended(parts, (0, 1, 2), 2, dim=-1)), dim=-1)
    assert joined.flatten().tolist() == [1.0, 2.0, 4.0, 5.0]
    # weights 1 2 1, begins 0 1 2: at the third place 1 of the first, 2 of the second and 1 of the third
    parts = torch.tensor([4.0, 8.0, 16.0])[:, None, None].expand(3, 1, 3)
    joined = torch.cat(list(blended(parts, (0, 1, 2), 3, dim=-1)), dim=-1)
    assert joined[0, 2] == (4 + 2 * 8 + 16) / 4


def test_gradients_pass_through_overlaps():
    parts = torch.rand(3, 1, 1, 4, requires_grad=True)
    Tiles((0,), (0, 2, 4), 1, 4).join_row(parts).sum().backward()
    # each of the eight places has a sum of weights of one
    assert torch.isclose(parts.grad.sum(), torch.tensor(8.0))


def test_shares_of_a_place_add_up_to_one():
    begins, cell = (0, 1, 4), 2
    given = blend_weights(begins, 3, cell, torch.zeros(()))
    assert given.shape == (3, 6)
    total = torch.zeros(14)
    for begin, weights in zip(begins, given):
        total[begin * cell :][:6] += weights
    assert torch.allclose(total, torch.ones(14))
    # the third pixel is the third of the first tile (weight 3) and the first of the second (weight 1)
    assert given[0, 2] == 0.75 and given[1, 0] == 0.25


def test_tokens_and_maps_in_raster_order():
    tokens = torch.arange(2 * 6 * 3.0).view(2, 6, 3)
    maps = tokens_to_map(tokens, (2, 3))
    assert maps.shape == (2, 3, 2, 3) and torch.equal(maps[1, :, 1, 0], tokens[1, 3])
    assert torch.equal(map_to_tokens(maps), tokens)
