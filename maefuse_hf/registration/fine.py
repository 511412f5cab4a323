# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""A transform made exact: infrared's clearest edges, carried to the photo, against the photo's orientations there."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from scipy import optimize

from .geometry import corners, scale_and_angle, shift, similarity, transformed
from .orientation import orientation_field, resized

POINTS = 20_000
"""How many of infrared's pixels are compared where a transform is made exact."""

LEAST_INSIDE = 0.4
"""Share of these that must lie in the photo."""

ROUNDS = {"similarity": 300, "homography": 900}
"""How often the optimiser may look at a transform."""


class EdgeMatch:
    """How well a pair's orientations agree under a transform, at one working size.

    Args:
        infrared, visible: (h, w) and (H, W) float32 in grey values.
        start: a transform near the ones that will be asked for.
        long_side: the photo's longer side at which is compared, in pixels.
        points: how many of infrared's pixels are compared, those of the strongest orientation.
    """

    def __init__(
        self, infrared: np.ndarray, visible: np.ndarray, start: np.ndarray, long_side: int, points: int = POINTS
    ) -> None:
        factor = min(1, long_side / max(visible.shape))
        self.size = infrared.shape[::-1]
        self.centre = np.array(self.size) / 2
        photo, self.to_photo = resized(visible, factor)
        smaller, to_smaller = resized(infrared, min(1, factor * scale_and_angle(start, self.centre)[0]))
        field, self.photo_size = orientation_field(photo), np.array(photo.shape[::-1])
        self.photo_field = np.dstack([field.real, field.imag])
        infrared_field = orientation_field(smaller)
        strength = np.abs(infrared_field).ravel()
        strongest = np.argsort(-strength, kind="stable")[:points]
        rows, columns = np.unravel_index(strongest, infrared_field.shape)
        self.places = transformed(np.linalg.inv(to_smaller), np.stack([columns, rows], axis=1) + 0.5)
        self.values, self.energies = infrared_field.ravel()[strongest], strength[strongest] ** 2

    def targets(self, transform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where infrared's pixels lie in the photo, (N, 2) from its first pixel's centre, and which lie inside."""
        targets = (transformed(self.to_photo @ transform, self.places) - 0.5).astype(np.float32)
        return targets, np.all((targets >= 0) & (targets <= self.photo_size - 1), axis=1)

    def significance(self, transform: np.ndarray) -> float:
        """The correlation times the root of the overlap's share of the photo, to compare places with."""
        area = np.prod(self.size) * (scale_and_angle(self.to_photo @ transform, self.centre)[0]) ** 2
        overlap = area * self.targets(transform)[1].mean() / np.prod(self.photo_size)
        return self(transform) * float(np.sqrt(overlap))

    def __call__(self, transform: np.ndarray) -> float:
        """Normalised correlation in [-1, 1]; -1 where too little of infrared lies in the photo."""
        targets, inside = self.targets(transform)
        if inside.mean() < LEAST_INSIDE:
            return -1.0
        across, down = np.ascontiguousarray(targets.T)[:, None]
        seen = cv2.remap(self.photo_field, across, down, cv2.INTER_LINEAR)[0][inside]
        own = self.values[inside] * np.exp(2j * scale_and_angle(transform, self.centre)[1])
        products = (own.real * seen[:, 0] + own.imag * seen[:, 1]).sum()
        energy = (seen**2).sum() * self.energies[inside].sum()
        return float(products / np.sqrt(energy)) if energy > 0 else -1.0


def climb(
    matches: Sequence[Callable[[np.ndarray], float]],
    start: np.ndarray,
    size: tuple[int, int],
    model: str,
    unit: float,
) -> tuple[np.ndarray, float]:
    """The transform near `start` under which pairs agree best on average, by Powell's method, and how well they do.

    Args:
        matches: one for each pair.
        start: (3, 3), infrared to photo.
        size: infrared's (width, height).
        model: `similarity` or `homography`.
        unit: how far a first step moves infrared's corners, in its pixels.
    """
    move = corner_moves(size) if model == "homography" else similar_moves(size)
    found = optimize.minimize(
        lambda steps: -np.mean([match(start @ move(steps * unit)) for match in matches]),
        np.zeros(8 if model == "homography" else 4),
        method="Powell",
        options={"xtol": 0.02, "ftol": 1e-5, "maxfev": ROUNDS[model]},
    )
    return start @ move(found.x * unit), float(-found.fun)


def similar_moves(size: tuple[int, int]) -> Callable[[np.ndarray], np.ndarray]:
    """Four steps in pixels (shift across and down, growth and turn at the corners) to a similarity of infrared."""
    radius = np.hypot(*size) / 2

    def move(steps: np.ndarray) -> np.ndarray:
        middle = similarity(np.exp(steps[2] / radius), steps[3] / radius)
        return shift(size[0] / 2 + steps[0], size[1] / 2 + steps[1]) @ middle @ shift(-size[0] / 2, -size[1] / 2)

    return move


def corner_moves(size: tuple[int, int]) -> Callable[[np.ndarray], np.ndarray]:
    """Eight steps in pixels, two a corner, to a homography of infrared."""
    places = corners(size).astype(np.float32)

    def move(steps: np.ndarray) -> np.ndarray:
        return cv2.getPerspectiveTransform(places, places + steps.reshape(4, 2).astype(np.float32))

    return move
