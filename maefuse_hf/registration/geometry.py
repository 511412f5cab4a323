# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Transforms of the plane as (3, 3) matrices. 0, 0 is the upper left corner of the first pixel."""

import numpy as np


def between_centres(transform: np.ndarray) -> np.ndarray:
    """A transform for OpenCV, which counts from the centre of the first pixel."""
    return shift(-0.5, -0.5) @ transform @ shift(0.5, 0.5)


def shift(across: float, down: float) -> np.ndarray:
    """(3, 3) of a shift."""
    return np.array([[1, 0, across], [0, 1, down], [0, 0, 1]], float)


def similarity(scale: float, angle: float) -> np.ndarray:
    """(3, 3) of a scale and a turn about 0, 0, in radians, x towards y."""
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]], float)


def scale_and_angle(transform: np.ndarray, place: np.ndarray) -> tuple[float, float]:
    """How a transform scales and turns what lies at a place (x, y)."""
    depth = transform[2, :2] @ place + transform[2, 2]
    target = (transform[:2, :2] @ place + transform[:2, 2]) / depth
    jacobian = (transform[:2, :2] - np.outer(target, transform[2, :2])) / depth
    angle = np.arctan2(jacobian[1, 0] - jacobian[0, 1], jacobian[0, 0] + jacobian[1, 1])
    return float(np.sqrt(abs(np.linalg.det(jacobian)))), float(angle)


def corners(size: tuple[int, int]) -> np.ndarray:
    """(4, 2), clockwise from the upper left, of an image of (width, height)."""
    width, height = size
    return np.array([(0, 0), (width, 0), (width, height), (0, height)], float)


def transformed(transform: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(N, 2) places by a (3, 3) transform."""
    homogeneous = places @ transform[:, :2].T + transform[:, 2]
    return homogeneous[:, :2] / homogeneous[:, 2:]


def corner_distance(one: np.ndarray, other: np.ndarray, size: tuple[int, int]) -> float:
    """Mean distance between where two transforms put the corners of an image of (width, height)."""
    places = corners(size)
    return float(np.linalg.norm(transformed(one, places) - transformed(other, places), axis=1).mean())


def nearest_similarity(transform: np.ndarray, place: np.ndarray) -> np.ndarray:
    """The similarity that moves, scales and turns what lies at a place (x, y) as a transform does."""
    target = transformed(transform, place[None])[0]
    return shift(*target) @ similarity(*scale_and_angle(transform, place)) @ shift(*-place)


def closest_similarity(places: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The similarity that takes (N, 2) places to (N, 2) targets with the least squared error."""
    middle, there = places.mean(axis=0), targets.mean(axis=0)
    before, after = ((points - centre) @ (1, 1j) for points, centre in ((places, middle), (targets, there)))
    factor = (after * before.conj()).sum() / (np.abs(before) ** 2).sum()
    return shift(*there) @ similarity(np.abs(factor), np.angle(factor)) @ shift(*-middle)
