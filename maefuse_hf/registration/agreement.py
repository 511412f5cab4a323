# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""What parts of the images say, each for itself, about infrared's place: the ground for a transform and for trust."""

from dataclasses import dataclass

import numpy as np
from scipy import fft

from .geometry import scale_and_angle
from .orientation import orientation_field, resized, turned, warp_field

LONG_SIDE = 320
"""The photo's longer side at which parts are compared, in pixels."""

SMOOTHING = 0.5
"""Standard deviation of the Gaussian before the gradient, in these pixels. Chosen on training pairs: the less, the
more parts find their place, and with infrared of a quarter of the photo's pixels too."""

CELL, STEP = 48, 24
"""Side of a part and distance to the next, in these pixels."""

REACH = 8
"""How far a part may look for a better place, in these pixels."""

NEAR = 3.0
"""How far from the transform's place a part's own place may lie to agree, in these pixels.

Parts at other distances from the cameras than most lie elsewhere (parallax), so that this is wider than the search is
exact. A part of another scene would agree by chance in 29 of (2 · 8 + 1)² places, one in ten.
"""

LEAST_COVERED = 0.7
"""Share of a part that infrared must cover."""


@dataclass(frozen=True, eq=False)
class LocalShifts:
    """What N parts of the photo say.

    Attributes:
        places: (N, 2), the parts' middles in the photo.
        correlations: (N, 2 r + 1, 2 r + 1) in [-1, 1], of a part where infrared moves by up to r steps, rows down. The
            middle is the transform's place.
        step: of how many of the photo's pixels one step is, across and down, (2,).
        near: how many steps are near enough to agree.
    """

    places: np.ndarray
    correlations: np.ndarray
    step: np.ndarray
    near: float

    @property
    def steps(self) -> np.ndarray:
        """By how many steps infrared would have to move to fit each part best, across and down, (N, 2)."""
        count, frame, _ = self.correlations.shape
        best = self.correlations.reshape(count, -1).argmax(axis=1) if count else np.zeros(0, int)
        rows, columns = np.unravel_index(best, (frame, frame))
        return np.stack([columns, rows], axis=1) - frame // 2

    @property
    def shifts(self) -> np.ndarray:
        """The same in pixels of the photo."""
        return self.steps * self.step

    @property
    def agreement(self) -> float:
        """Share of the parts that agree with the transform; 0 without parts."""
        return float((np.linalg.norm(self.steps, axis=1) <= self.near).mean()) if len(self.places) else 0.0

    @property
    def correlation(self) -> float:
        """How well the parts correlate at the transform's place, on average; 0 without parts."""
        reach = self.correlations.shape[1] // 2
        return float(self.correlations[:, reach, reach].mean()) if len(self.places) else 0.0


def local_shifts(
    infrared: np.ndarray, visible: np.ndarray, transform: np.ndarray, long_side: int = LONG_SIDE, reach: int = REACH
) -> LocalShifts:
    """Let each part of the photo look for its own best place of infrared near the transform's.

    Args:
        infrared, visible: (h, w) and (H, W) float32 in grey values.
        transform: (3, 3), infrared to photo.
        long_side: the photo's longer side at which parts are compared, in pixels.
        reach: how far they look, in these pixels.
    """
    photo, to_photo = resized(visible, min(1, long_side / max(visible.shape)))
    photo_field = orientation_field(photo, SMOOTHING)
    size = photo.shape[1], photo.shape[0]
    scale, angle = scale_and_angle(transform, np.array(infrared.shape[::-1]) / 2)
    smaller, to_smaller = resized(infrared, min(1, scale * to_photo[0, 0]))
    field, there = orientation_field(smaller, SMOOTHING), to_photo @ transform @ np.linalg.inv(to_smaller)
    moved, covered = turned(warp_field(field, there, size), angle), warp_field(np.ones_like(field), there, size).real
    surrounded, around = np.pad(photo_field, reach), CELL + 2 * reach
    corners = [
        (top, left)
        for top in range(0, size[1] - CELL + 1, STEP)
        for left in range(0, size[0] - CELL + 1, STEP)
        if covered[top : top + CELL, left : left + CELL].mean() >= LEAST_COVERED
    ]
    parts = np.array([moved[top : top + CELL, left : left + CELL] for top, left in corners])
    surroundings = np.array([surrounded[top : top + around, left : left + around] for top, left in corners])
    step = 1 / np.diag(to_photo)[:2]
    if not corners:
        return LocalShifts(np.zeros((0, 2)), np.zeros((0, 2 * reach + 1, 2 * reach + 1)), step, NEAR)
    places = (np.array(corners)[:, ::-1] + CELL / 2) * step
    return LocalShifts(places, part_correlations(parts, surroundings), step, NEAR)


def part_correlations(parts: np.ndarray, surroundings: np.ndarray) -> np.ndarray:
    """How parts of infrared's field, (N, CELL, CELL), correlate with all places of the photo's field around them.

    Args:
        surroundings: (N, CELL + 2 r, CELL + 2 r) complex64.

    Returns:
        (N, 2 r + 1, 2 r + 1), normalised, of fields under a Hann window.
    """
    side = surroundings.shape[1]
    frame, shape = side - CELL + 1, 2 * [fft.next_fast_len(side)]
    weights = np.outer(*2 * [np.hanning(CELL + 2)[1:-1]]).astype(np.float32)
    seen = fft.rfft2(weights, shape).conj()
    products = fft.ifft2(fft.fft2(surroundings, shape) * fft.fft2(parts * weights, shape).conj()).real
    energies = fft.irfft2(fft.rfft2(np.abs(surroundings) ** 2, shape) * seen, shape)
    own = (np.abs(parts) ** 2 * weights).sum(axis=(1, 2), keepdims=True)
    # a part without edges gives no place: a hundredth is little beside any edge's energy
    scores = products / np.sqrt(np.maximum(energies, 0) * own + 0.01)
    return scores[:, :frame, :frame]
