from itertools import pairwise, product

import pytest
import torch

from maefuse_hf.tiles import Tiles, blend_weights, cover, covering_tiles


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


def test_cells_are_cut_window_by_tile():
    maps = torch.arange(2 * 3 * 6.0).view(2, 1, 3, 6)
    parts = Tiles((0,), (0, 2), 3, 4).cut(maps)
    assert parts.shape == (4, 1, 3, 4)
    assert torch.equal(parts[1], maps[1, :, :, :4]) and torch.equal(parts[2], maps[0, :, :, 2:])


@pytest.mark.parametrize("cell", [1, 3])
@pytest.mark.parametrize(
    ("grid", "side", "overlap"), [((7, 11), 4, 0), ((7, 11), 4, 2), ((3, 9), 4, 1), ((2, 2), 4, 0)]
)
def test_joined_again_they_are_what_was_cut(grid, side, overlap, cell):
    maps = torch.rand(2, 3, grid[0] * cell, grid[1] * cell)
    tiles = covering_tiles(grid, side, overlap)
    assert torch.allclose(tiles.join(tiles.cut(maps, cell), cell), maps, atol=1e-6)


@pytest.mark.parametrize("overlap", [0, 2])
def test_autocast_takes_no_digits(overlap):
    maps = torch.rand(1, 1, 5, 9)
    tiles = covering_tiles((5, 9), 4, overlap)
    with torch.autocast("cpu", torch.bfloat16):
        joined = tiles.join(tiles.cut(maps))
    assert joined.dtype == torch.float32
    assert torch.equal(joined, tiles.join(tiles.cut(maps)))


def test_overlaps_lean_to_the_nearer_middle():
    tiles = Tiles((0,), (0, 2), 1, 4)
    joined = tiles.join(torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 1, 4))
    # weights 1 2 2 1: the third cell is 2 of the first tile to 1 of the second
    assert torch.allclose(joined[0, 0, 0], torch.tensor([0, 0, 1 / 3, 2 / 3, 1, 1]))


def test_shares_of_a_place_add_up_to_one():
    given = blend_weights((0, 1, 4), 3, 2, torch.zeros(()))
    assert given.shape == (3, 6, 14)
    assert torch.allclose(given.sum(dim=(0, 1)), torch.ones(14))
    # the third pixel is the third of the first tile (weight 3) and the first of the second (weight 1)
    assert given[0, 2, 2] == 0.75 and given[1, 0, 2] == 0.25
