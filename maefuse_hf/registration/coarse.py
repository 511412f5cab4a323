# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Where infrared may lie in the photo: all shifts at once, for each scale and turn of a grid."""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import fft

from .geometry import corner_distance, corners, nearest_similarity, shift, similarity, transformed
from .orientation import orientation_field, resized, turned, warp_field
from .search_range import SearchRange

LONG_SIDE = 160
"""The photo's longer side in the search, in pixels."""

SMOOTHING = 1.0
"""Standard deviation of the Gaussian before the gradient, in these pixels. Less needs a finer grid."""

PEAKS = 3
"""Places that one scale and turn may propose."""

CANDIDATES = 8
"""Places that go on. The right one is not always among the first: it may lie between two steps of the grid."""

APART = 0.03
"""How far candidates differ, as a share of the photo's longer side."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A transform, infrared's pixels to the photo's, and how well orientations correlate under it, in [-1, 1]."""

    score: float
    transform: np.ndarray


def coarse_candidates(
    infrared: np.ndarray, visible: np.ndarray, search: SearchRange, count: int = CANDIDATES
) -> list[Candidate]:
    """The best places of infrared in the photo that differ from each other, best first.

    Args:
        infrared, visible: (h, w) and (H, W) float32 in grey values.
    """
    photo, to_photo = resized(visible, min(1, LONG_SIDE / max(visible.shape)))
    photo_field = orientation_field(photo, SMOOTHING)
    size = infrared.shape[1], infrared.shape[0]
    middle = np.array(size) / 2
    spectra: dict[tuple[int, int], PhotoSpectra] = {}
    found = []
    for share in search.scales():
        smaller, to_smaller = resized(infrared, share * photo.shape[1] / infrared.shape[1])
        field = orientation_field(smaller, SMOOTHING)
        for angle in search.angles():
            turn, size = turn_in_frame(angle, smaller.shape[::-1])
            moved = turned(warp_field(field, turn, size), angle)
            mask = warp_field(np.ones_like(field), turn, size).real
            frame = tuple(fft.next_fast_len(side + other) for side, other in zip(photo.shape, moved.shape))
            if frame not in spectra:
                spectra[frame] = PhotoSpectra(photo_field, frame)
            scores = spectra[frame].correlate(moved, mask, search.overlap)
            for score, across, down in peaks(scores, photo.shape):
                transform = np.linalg.inv(to_photo) @ shift(across, down) @ turn @ to_smaller
                # working copies of whole pixels are not quite of the images' proportions
                found.append(Candidate(score, nearest_similarity(transform, middle)))
    kept: list[Candidate] = []
    for candidate in sorted(found, key=lambda candidate: -candidate.score):
        near = (corner_distance(candidate.transform, other.transform, size) for other in kept)
        if len(kept) < count and all(distance > APART * max(visible.shape) for distance in near):
            kept.append(candidate)
    return kept


class PhotoSpectra:
    """The photo's part of masked normalised correlations in a frame, (rows, columns), that both images fit in."""

    def __init__(self, field: np.ndarray, frame: tuple[int, int]) -> None:
        self.frame = frame
        self.area = field.size
        self.field = fft.fft2(field, frame)
        self.energy = fft.rfft2(np.abs(field) ** 2, frame)
        self.mask = fft.rfft2(np.ones(field.shape, np.float32), frame)

    def correlate(self, moved: np.ndarray, mask: np.ndarray, least_overlap: float) -> np.ndarray:
        """Normalised correlation of infrared's field with the photo's for each shift, (rows, columns) of the frame.

        sqrt(a) Re Σ z_photo conj(z_infrared) / sqrt(Σ |z_photo|² Σ |z_infrared|²), sums over the overlap, which is the
        share a of the photo: chance correlates the better the fewer pixels there are. -1 where the overlap is too
        small.
        """
        own = np.abs(moved) ** 2
        products = fft.ifft2(self.field * fft.fft2(moved, self.frame).conj()).real
        mask_spectrum, own_spectrum = (fft.rfft2(values, self.frame).conj() for values in (mask, own))
        photo_energy = fft.irfft2(self.energy * mask_spectrum, self.frame)
        own_energy = fft.irfft2(self.mask * own_spectrum, self.frame)
        overlap = fft.irfft2(self.mask * mask_spectrum, self.frame)
        enough = (overlap >= least_overlap * mask.sum()) & (own_energy >= least_overlap / 2 * own.sum())
        energies = photo_energy * own_energy
        enough &= energies > np.finfo(np.float32).eps * energies.max(initial=0)
        share = overlap / self.area
        return np.where(enough, products * np.sqrt(np.where(enough, share / np.where(enough, energies, 1), 0)), -1)


def turn_in_frame(angle: float, size: tuple[int, int]) -> tuple[np.ndarray, tuple[int, int]]:
    """A turn of an image of (width, height), shifted so that all of it is seen, and the size that this takes."""
    turn = similarity(1, angle)
    places = transformed(turn, corners(size))
    low, high = np.floor(places.min(axis=0)), np.ceil(places.max(axis=0))
    return shift(*-low) @ turn, (int(high[0] - low[0]), int(high[1] - low[1]))


def peaks(scores: np.ndarray, photo_shape: tuple[int, ...]) -> list[tuple[float, int, int]]:
    """The best local maxima above 0: score and shift (across, down)."""
    around = cv2.dilate(scores.astype(np.float32), np.ones((7, 7)))
    rows, columns = np.nonzero((scores.astype(np.float32) >= around) & (scores > 0))
    best = np.argsort(-scores[rows, columns], kind="stable")[:PEAKS]
    # a shift to the left or up stands at the frame's end
    return [
        (
            float(scores[row, column]),
            int(column if column < photo_shape[1] else column - scores.shape[1]),
            int(row if row < photo_shape[0] else row - scores.shape[0]),
        )
        for row, column in zip(rows[best], columns[best])
    ]
