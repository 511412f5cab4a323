"""The lists of held-out pairs: sizes, blocks, and nothing in two lists."""

from itertools import pairwise
from pathlib import Path

import pytest

SPLITS = Path(__file__).parent.parent / "splits"
FEWEST_FRAMES_APART = 4


def names(split: str) -> list[str]:
    return (SPLITS / f"{split}.txt").read_text().split()


def numbers(split: str) -> list[int]:
    return [int(name[len("MSRS_") : -1]) for name in names(split)]


@pytest.mark.parametrize(("split", "size"), [("downstream_test", 156), ("validation", 48), ("unused", 108)])
def test_a_split_is_sorted_and_has_its_size(split, size):
    assert len(names(split)) == size
    assert names(split) == sorted(set(names(split)))


@pytest.mark.parametrize("split", ["downstream_test", "validation"])
def test_half_of_the_pairs_are_by_night(split):
    assert sum(name.endswith("N") for name in names(split)) == len(names(split)) / 2


def test_no_pair_is_in_two_splits():
    everything = [name for split in ("downstream_test", "validation", "unused") for name in names(split)]
    assert len(everything) == len(set(everything))


@pytest.mark.parametrize(("split", "blocks", "size"), [("downstream_test", 12, 13), ("validation", 6, 8)])
def test_blocks_are_framed_by_unused_pairs(split, blocks, size):
    # in the order of their numbers, a block's pairs follow each other, with three unused ones before and after
    kinds = sorted((number, kind) for kind in ("downstream_test", "validation", "unused") for number in numbers(kind))
    order = "".join({"downstream_test": "t", "validation": "v", "unused": "u"}[kind] for _, kind in kinds)
    assert order.count("uuu" + split[0].replace("d", "t") * size + "uuu") == blocks


def test_test_and_validation_are_some_frames_apart():
    marked = sorted((number, split) for split in ("downstream_test", "validation") for number in numbers(split))
    apart = [after - before for (before, one), (after, other) in pairwise(marked) if one != other]
    assert min(apart) >= FEWEST_FRAMES_APART
