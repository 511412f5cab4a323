# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""The steps of registration: one pair's transform, several pairs' transform, which of them belong together."""

from collections.abc import Sequence

import numpy as np

from .agreement import local_shifts
from .coarse import coarse_candidates
from .fine import Pair, PartLikelihood, climb
from .geometry import corner_distance
from .search_range import SearchRange

FINE_SIDE, FINEST_SIDE = 320, 640
"""The photo's longer side at which transforms are made exact; the latter for photos of at least twice that, at last."""

FAR, CLOSE = 16, 8
"""How far parts look for their places from a place of the coarse search, and from one that was made exact before, in
these pixels."""

ROUNDS = 3
"""How often parts look again from the place that they led to."""


def estimate(infrared: np.ndarray, visible: np.ndarray, model: str, search: SearchRange) -> np.ndarray | None:
    """The best transform of one pair; None where the search finds no place."""
    pair = infrared, visible
    climbed = []
    for candidate in coarse_candidates(infrared, visible, search):
        transform, _ = climb([pair], candidate.transform, "similarity", FINE_SIDE, FAR)
        climbed.append(climb([pair], transform, "similarity", FINE_SIDE, CLOSE))
    if not climbed:
        return None
    best, _ = max(climbed, key=lambda found: found[1])
    return exact([pair], best, model)


def exact(pairs: Sequence[Pair], start: np.ndarray, model: str) -> np.ndarray:
    """A transform near `start` that the pairs' parts find likeliest, at the fine working sizes."""
    transform, reach = start, FAR if model == "homography" else CLOSE
    large = max(pairs[0][1].shape) >= 2 * FINEST_SIDE
    for side in (FINE_SIDE, FINEST_SIDE) if large else (FINE_SIDE,):
        for _ in range(ROUNDS):
            transform, _ = climb(pairs, transform, model, side, reach)
            reach = CLOSE
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


def support(infrared: np.ndarray, visible: np.ndarray, transform: np.ndarray) -> tuple[float, float]:
    """The share of a pair's parts that agree with a transform, and their evidence for it (`PartLikelihood`)."""
    shifts = local_shifts(infrared, visible, transform)
    return shifts.agreement, PartLikelihood(shifts, transform)(transform)


def correlation(pairs: Sequence[Pair], transform: np.ndarray) -> float:
    """How well the orientations of the pairs' parts correlate under a transform, on average."""
    return float(np.mean([local_shifts(*pair, transform).correlation for pair in pairs]))
