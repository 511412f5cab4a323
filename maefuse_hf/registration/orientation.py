# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Which way edges run, whether they go from dark to bright or from bright to dark.

What is hot in infrared may be dark in the photo, so that grey values, and the sign of gradients, tell nothing. The
angle of an edge does, up to half a turn; doubled, it is one number for both signs.
"""

import cv2
import numpy as np

from .geometry import between_centres

NEIGHBOURHOOD = 6.0
"""Standard deviation, in pixels, of the surroundings that an edge is measured against."""

NOISE = 1.0
"""Gradient in grey values a pixel that counts as noise."""


def orientation_field(image: np.ndarray, smoothing: float) -> np.ndarray:
    """Each pixel's edge: the doubled angle of the gradient as phase, its strength beside its neighbours' as magnitude.

    z = g² / (|g|² + mean |g|² around + `NOISE`²), with the complex gradient g = g_x + i g_y.

    Args:
        image: (H, W) float32 in grey values, 0 to 255.
        smoothing: standard deviation of the Gaussian before the gradient, in pixels.

    Returns:
        (H, W) complex64, |z| < 1.
    """
    smooth = cv2.GaussianBlur(image, (0, 0), smoothing, borderType=cv2.BORDER_REFLECT)
    across, down = (
        cv2.Sobel(smooth, cv2.CV_32F, *order, scale=1 / 8, borderType=cv2.BORDER_REFLECT) for order in ((1, 0), (0, 1))
    )
    energy = across**2 + down**2
    around = cv2.GaussianBlur(energy, (0, 0), NEIGHBOURHOOD, borderType=cv2.BORDER_REFLECT)
    return ((across + 1j * down) ** 2 / (energy + around + NOISE**2)).astype(np.complex64)


def turned(field: np.ndarray, angle: float) -> np.ndarray:
    """The field's values in an image that is turned by an angle in radians, x towards y."""
    return (field * np.exp(2j * angle)).astype(np.complex64)


def warp_field(field: np.ndarray, transform: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A field's values at the places where a transform puts them, 0 outside; `size` is (width, height)."""
    matrix = between_centres(transform)
    real, imaginary = (
        cv2.warpPerspective(np.ascontiguousarray(part), matrix, size, flags=cv2.INTER_LINEAR)
        for part in (field.real, field.imag)
    )
    return (real + 1j * imaginary).astype(np.complex64)


def resized(image: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """An image at a scale, antialiased, and the (3, 3) that takes its coordinates there."""
    height, width = image.shape
    size = max(round(width * scale), 8), max(round(height * scale), 8)
    smaller = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return smaller, np.diag([size[0] / width, size[1] / height, 1.0])
