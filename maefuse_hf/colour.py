# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Luminance of BT.601, in floating point: taken from a colour image and put into one, at the size that is wanted."""

import numpy as np
from PIL import Image

# Weights of red, green and blue in luminance; they add up to one.
BT601_LUMINANCE = (0.299, 0.587, 0.114)
RED_WEIGHT, _, BLUE_WEIGHT = BT601_LUMINANCE
WHITE = 255


def rgb_to_luminance(rgb: np.ndarray) -> np.ndarray:
    """Luminance Y of BT.601, full range: Y = 0.299 R + 0.587 G + 0.114 B.

    Takes (..., 3, H, W), floating point, usually in [0, 1]; returns (..., 1, H, W), same dtype and range, not
    rounded.
    """
    red, green, blue = rgb[..., 0:1, :, :], rgb[..., 1:2, :, :], rgb[..., 2:3, :, :]
    # The same sum in this form gives a grey pixel exactly its own value.
    return green + RED_WEIGHT * (red - green) + BLUE_WEIGHT * (blue - green)


def replace_luminance(rgb: np.ndarray, luminance: np.ndarray) -> np.ndarray:
    """Give a colour image another luminance Y' and keep its Cb and Cr.

    In full-range YCbCr, Cb = (B - Y) / 1.772 and Cr = (R - Y) / 1.402. Keeping both keeps B - Y and R - Y,
    and with them G - Y, because 0.299 (R - Y) + 0.587 (G - Y) + 0.114 (B - Y) = 0. So each channel moves by
    the same step: R' = R + (Y' - Y), G' = G + (Y' - Y), B' = B + (Y' - Y).

    Takes `rgb` (..., 3, H, W) uint8 and Y' (..., 1, H, W), floating point in [0, 1]. Returns (..., 3, H, W)
    uint8, rounded, clipped where the colour leaves the RGB cube, and equal to `rgb` where Y' = Y.
    """
    unit_rgb = rgb.astype(np.float32) / WHITE
    return to_uint8(unit_rgb + (luminance - rgb_to_luminance(unit_rgb)))


def to_uint8(values: np.ndarray) -> np.ndarray:
    """[0, 1] to 0...255, same shape: rounded to the nearest, clipped."""
    return np.rint(values * WHITE).clip(0, WHITE).astype(np.uint8)


def resize_planes(planes: np.ndarray, size: tuple[int, int], resample: int) -> np.ndarray:
    """(C, H, W) float32 in [0, 1] to (C, *size), antialiased, clipped to [0, 1], not rounded."""
    if planes.shape[1:] == size:
        return planes
    images = [Image.fromarray(np.ascontiguousarray(plane)) for plane in planes]
    return np.stack([np.asarray(image.resize(size[::-1], resample)) for image in images]).clip(0, 1)


def resized_luminance(rgb: np.ndarray, size: tuple[int, int], resample: int) -> np.ndarray:
    """(3, H, W) float32 in [0, 1] to its luminance, (1, *size) in [0, 1]."""
    return resize_planes(rgb_to_luminance(rgb), size, resample)


def recoloured(rgb: np.ndarray, luminance: np.ndarray, resample: int | None) -> np.ndarray:
    """`rgb` with another luminance.

    Args:
        rgb: (3, H, W) uint8.
        luminance: (1, H', W') float32 in [0, 1], resized to (H, W).
        resample: with a filter, the colours are resized by it to (H', W') and the whole image back instead.

    Returns:
        (3, H, W) uint8.
    """
    if resample is None:
        return replace_luminance(rgb, resize_planes(luminance, rgb.shape[1:], Image.Resampling.BICUBIC))
    colours = to_uint8(resize_planes(rgb.astype(np.float32) / WHITE, luminance.shape[1:], resample))
    image = replace_luminance(colours, luminance).astype(np.float32) / WHITE
    return to_uint8(resize_planes(image, rgb.shape[1:], Image.Resampling.BICUBIC))


def luminance_8_bit(image: Image.Image) -> np.ndarray:
    """Luminance of an 8-bit image, Y of BT.601 rounded with halves to even: (H, W) uint8.

    This is what everything that is measured is measured on. Pillow's own conversion has weights of 16 bits, which puts
    many of the halves on the other level.
    """
    thousandths = np.rint(np.array(BT601_LUMINANCE) * 1000)
    # sums of whole numbers are exact, and so is a half among their thousandths
    luminance = np.rint(np.asarray(image.convert("RGB"), dtype=np.float64) @ thousandths / 1000)
    return luminance.astype(np.uint8)
