# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Whether parts of the images, each for itself, say what the whole says: the ground for trust in a transform."""

from dataclasses import dataclass

import numpy as np
from scipy import fft

from .geometry import scale_and_angle
from .orientation import orientation_field, resized, turned, warp_field

LONG_SIDE = 320
"""The photo's longer side at which parts are compared, in pixels."""

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
    """What parts of the photo say.

    Attributes:
        places: (N, 2), the parts' middles in the photo.
        shifts: (N, 2), by how much infrared would have to move there to fit best, in pixels of the photo.
        near: (N,), whether that is within `NEAR`.
    """

    places: np.ndarray
    shifts: np.ndarray
    near: np.ndarray

    @property
    def agreement(self) -> float:
        """Share of the parts that agree with the transform; 0 without parts."""
        return float(self.near.mean()) if len(self.near) else 0.0


def local_shifts(infrared: np.ndarray, visible: np.ndarray, transform: np.ndarray) -> LocalShifts:
    """Let each part of the photo look for its own best place of infrared near the transform's.

    Args:
        infrared, visible: (h, w) and (H, W) float32 in grey values.
        transform: (3, 3), infrared to photo.
    """
    photo, to_photo = resized(visible, min(1, LONG_SIDE / max(visible.shape)))
    photo_field = orientation_field(photo)
    size = photo.shape[1], photo.shape[0]
    scale, angle = scale_and_angle(transform, np.array(infrared.shape[::-1]) / 2)
    smaller, to_smaller = resized(infrared, min(1, scale * to_photo[0, 0]))
    field, there = orientation_field(smaller), to_photo @ transform @ np.linalg.inv(to_smaller)
    moved, covered = turned(warp_field(field, there, size), angle), warp_field(np.ones_like(field), there, size).real
    surrounded = np.pad(photo_field, REACH)
    places, shifts = [], []
    for top in range(0, size[1] - CELL + 1, STEP):
        for left in range(0, size[0] - CELL + 1, STEP):
            part = np.s_[top : top + CELL, left : left + CELL]
            if covered[part].mean() < LEAST_COVERED:
                continue
            around = surrounded[top : top + CELL + 2 * REACH, left : left + CELL + 2 * REACH]
            places.append((left + CELL / 2, top + CELL / 2))
            shifts.append(best_shift(moved[part], around))
    found = np.reshape(shifts, (-1, 2)).astype(float)
    near = np.linalg.norm(found, axis=1) <= NEAR
    back = np.diag(np.linalg.inv(to_photo))[:2]
    return LocalShifts(np.reshape(places, (-1, 2)) * back, found * back, near)


def best_shift(part: np.ndarray, around: np.ndarray) -> tuple[int, int]:
    """Where a part (CELL, CELL) of infrared's field correlates best with the photo's field around it: across, down."""
    weights = np.outer(*2 * [np.hanning(CELL + 2)[1:-1]]).astype(np.float32)
    weighted = part * weights
    shape, frame = around.shape, 2 * REACH + 1
    products = fft.ifft2(fft.fft2(around) * fft.fft2(weighted, shape).conj()).real[:frame, :frame]
    energy = fft.irfft2(fft.rfft2(np.abs(around) ** 2) * fft.rfft2(weights**2, shape).conj(), shape)[:frame, :frame]
    # a part without edges gives no place: a hundredth is little beside any edge's energy
    scores = products / np.sqrt(np.maximum(energy, 0) * (np.abs(weighted) ** 2).sum() + 0.01)
    row, column = np.unravel_index(scores.argmax(), scores.shape)
    return int(column) - REACH, int(row) - REACH
