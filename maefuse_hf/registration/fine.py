# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""A transform made exact: the one that the most parts of the images find likely, each by its own correlations."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from scipy import optimize

from .agreement import LocalShifts, local_shifts
from .geometry import closest_similarity, corners, transformed

SHARPNESS = 14.0
"""By how much a part's logarithmic likelihood grows with its correlation."""

STRAYS = 0.2
"""Share of the parts that may lie anywhere: they show what is nearer or farther, or seen in one image only."""

BENT = 0.01
"""How far a homography's corners are expected to lie from a similarity's, as a share of infrared's width: the standard
deviation in each direction. Eight numbers follow parallax where nothing holds them back."""

LOOKS = {"similarity": 300, "homography": 1200}
"""How often the optimiser may look at a transform."""

MARGIN = 2
"""How many values a cubic interpolation needs beside a part's own."""

Pair = tuple[np.ndarray, np.ndarray]
"""Infrared (h, w) and visible (H, W), float32 in grey values."""


class PartLikelihood:
    """How much more likely than chance the parts find a transform.

    A part's likelihood of a shift is p = exp(`SHARPNESS` · correlation), divided by its mean over all shifts within
    reach; with strays, log((1 − `STRAYS`) p + `STRAYS`). No part can say much against a transform.

    Args:
        shifts: what the parts say near the transform `start`, (3, 3).
    """

    def __init__(self, shifts: LocalShifts, start: np.ndarray) -> None:
        self.places, self.step = shifts.places, shifts.step
        self.sources = transformed(np.linalg.inv(start), shifts.places)
        likelihood = np.exp(SHARPNESS * shifts.correlations)
        likelihood /= likelihood.mean(axis=(1, 2), keepdims=True)
        logarithms = np.log((1 - STRAYS) * likelihood + STRAYS)
        self.reach = shifts.correlations.shape[1] // 2
        # one below the other, with margins that keep a cubic interpolation to its own part
        stacked = np.pad(logarithms, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)), mode="edge")
        self.first_rows = np.arange(len(stacked)) * stacked.shape[1]
        self.stacked = stacked.reshape(-1, stacked.shape[2]).astype(np.float32)

    def __call__(self, transform: np.ndarray) -> float:
        """The sum over the parts; 0 is what chance gives."""
        if not len(self.places):
            return 0.0
        steps = (transformed(transform, self.sources) - self.places) / self.step
        across, down = (steps.clip(-self.reach, self.reach) + self.reach + MARGIN).astype(np.float32).T
        rows = (down + self.first_rows).astype(np.float32)
        return float(cv2.remap(self.stacked, across[None].copy(), rows[None], cv2.INTER_CUBIC).sum())


def climb(pairs: Sequence[Pair], start: np.ndarray, model: str, long_side: int, reach: int) -> tuple[np.ndarray, float]:
    """The transform near `start` that the parts of all pairs find likeliest, by Powell's method, and how likely.

    Args:
        pairs: of the same two sizes.
        start: (3, 3), infrared to photo.
        model: `similarity` or `homography`; the latter is held to `BENT`.
        long_side: the photo's longer side at which parts are compared, in pixels.
        reach: how far from `start` they look, in these pixels.
    """
    size = pairs[0][0].shape[1], pairs[0][0].shape[0]
    parts = [PartLikelihood(local_shifts(*pair, start, long_side, reach), start) for pair in pairs]
    if not any(len(part.places) for part in parts):
        return start, 0.0
    move = moves(size, start, model, float(parts[0].step[0]))

    def unlikeliness(steps: np.ndarray) -> float:
        transform = move(steps)
        return (bent(transform, size) / BENT) ** 2 / 2 - sum(part(transform) for part in parts)

    count = 4 if model == "similarity" else 8
    options = {"xtol": 0.02, "ftol": 1e-6, "maxfev": LOOKS[model]}
    found = optimize.minimize(unlikeliness, np.zeros(count), method="Powell", options=options)
    return move(found.x), float(-found.fun)


def moves(size: tuple[int, int], start: np.ndarray, model: str, step: float) -> Callable[[np.ndarray], np.ndarray]:
    """Four numbers to a similarity near `start`, eight to a homography.

    The first four shift, scale and turn, the others are orthogonal to them: pixels of infrared's corners in the photo,
    in units of `step`.
    """
    places = corners(size)
    across, down = (places - places.mean(axis=0)).T
    similar = [np.tile((1, 0), 4), np.tile((0, 1), 4), np.stack([across, down], 1), np.stack([-down, across], 1)]
    modes = np.linalg.qr(np.stack([mode.ravel() for mode in similar], axis=1), mode="complete")[0]
    targets = transformed(start, places)

    def move(steps: np.ndarray) -> np.ndarray:
        moved = targets + step * (modes[:, : len(steps)] @ steps).reshape(4, 2)
        if model == "similarity":
            return closest_similarity(places, moved)
        return cv2.getPerspectiveTransform(places.astype(np.float32), moved.astype(np.float32))

    return move


def bent(transform: np.ndarray, size: tuple[int, int]) -> float:
    """How far a transform moves infrared's corners from the closest similarity's, as a share of infrared's width.

    The root of the sum over both directions of all four.
    """
    places = corners(size)
    targets = transformed(transform, places)
    similar = closest_similarity(places, targets)
    width = np.hypot(similar[0, 0], similar[1, 0]) * size[0]
    return float(np.linalg.norm(targets - transformed(similar, places)) / width)
