# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""The steps of registration: one pair's transform, several pairs' transform, which of them belong together."""

from collections.abc import Sequence

import numpy as np

from .agreement import local_shifts
from .coarse import coarse_candidates
from .fine import EdgeMatch, climb
from .geometry import corner_distance
from .search_range import SearchRange

START_SIDE, FINE_SIDE, FINEST_SIDE = 160, 320, 640
"""The photo's longer side at which candidates are compared, and at which the best is made exact; the last for photos
of at least twice that."""

START_POINTS = 5_000
"""How many of infrared's pixels are compared for a candidate."""

Pair = tuple[np.ndarray, np.ndarray]
"""Infrared (h, w) and visible (H, W), float32 in grey values."""


def estimate(infrared: np.ndarray, visible: np.ndarray, model: str, search: SearchRange) -> np.ndarray | None:
    """The best transform of one pair; None where the search finds no place."""
    size = infrared.shape[1], infrared.shape[0]
    unit = max(size) / 80
    climbed = []
    for candidate in coarse_candidates(infrared, visible, search):
        match = EdgeMatch(infrared, visible, candidate.transform, START_SIDE, START_POINTS)
        transform, _ = climb([match], candidate.transform, size, "similarity", unit)
        climbed.append((match.significance(transform), transform))
    if not climbed:
        return None
    _, best = max(climbed, key=lambda found: found[0])
    return exact([(infrared, visible)], best, model)


def exact(pairs: Sequence[Pair], start: np.ndarray, model: str) -> np.ndarray:
    """A transform near `start` under which the pairs agree best, at the fine working sizes."""
    size, photo_side = (pairs[0][0].shape[1], pairs[0][0].shape[0]), max(pairs[0][1].shape)
    transform = start
    sides = (FINE_SIDE, FINEST_SIDE) if photo_side >= 2 * FINEST_SIDE else (FINE_SIDE,)
    for side in sides:
        unit = max(size) / side
        steps = ("similarity", model) if side == FINE_SIDE and model != "similarity" else (model,)
        for step in steps:
            matches = [EdgeMatch(*pair, transform, side) for pair in pairs]
            transform, _ = climb(matches, transform, size, step, unit)
    return transform


def largest_group(
    found: dict[int, np.ndarray], scores: dict[int, float], size: tuple[int, int], tolerance: float
) -> list[int]:
    """The pairs whose transforms lie within the tolerance of one of them: as many as can be, then of the best score."""
    groups = {
        index: [other for other in found if corner_distance(found[index], found[other], size) <= tolerance]
        for index in found
    }
    return max(groups.values(), key=lambda group: (len(group), sum(scores[index] for index in group)))


def alike(infrared: np.ndarray, visible: np.ndarray, transform: np.ndarray) -> float:
    """The share of a pair's parts that agree with a transform."""
    return local_shifts(infrared, visible, transform).agreement


def correlation(pairs: Sequence[Pair], transform: np.ndarray) -> float:
    """How well the pairs' orientations correlate under a transform, on average."""
    return float(np.mean([EdgeMatch(*pair, transform, FINE_SIDE)(transform) for pair in pairs]))
