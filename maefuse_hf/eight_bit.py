# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Colour and size of images in whole grey values, in the fixed-point arithmetic of OpenCV.

A model whose images went through OpenCV, in training and in its published results, sees here the very same grey
values: Y and the bilinear resize equal OpenCV's bit by bit, the bicubic resize to one grey value. Neither
resize is antialiased.
"""

from collections.abc import Iterable

import numpy as np
from PIL.Image import Resampling

from .colour import BT601_LUMINANCE, WHITE, to_uint8

Taps = list[tuple[np.ndarray, np.ndarray]]

COLOUR_BITS = 14
RESIZE_BITS = 11
CHROMA_ZERO = 128
# Cr = (R - Y) 0.713 + 128 and Cb = (B - Y) 0.564 + 128; back, R = Y + 1.403 Cr', B = Y + 1.773 Cb' and
# G = Y - 0.714 Cr' - 0.344 Cb' with Cr' = Cr - 128, Cb' = Cb - 128
RED_TO_CR, BLUE_TO_CB = 0.713, 0.564
CR_TO_RED, CR_TO_GREEN, CB_TO_GREEN, CB_TO_BLUE = 1.403, -0.714, -0.344, 1.773
# the free parameter of the bicubic kernel; Pillow has -0.5
CUBIC = np.float32(-0.75)


def resized_luminance_8_bit(rgb: np.ndarray, size: tuple[int, int], resample: int) -> np.ndarray:
    """As `resized_luminance`, in whole 255ths."""
    return resize_8_bit(rgb_to_ycrcb(to_uint8(rgb))[:1], size, resample).astype(np.float32) / WHITE


def recoloured_8_bit(rgb: np.ndarray, luminance: np.ndarray, resample: int | None) -> np.ndarray:
    """As `recoloured`, by Y, Cr and Cb in whole grey values."""
    chroma, y = rgb_to_ycrcb(rgb)[1:], to_uint8(luminance)
    if resample is None:
        y = resize_8_bit(y, rgb.shape[1:], Resampling.BICUBIC)
    else:
        chroma = resize_8_bit(chroma, y.shape[1:], resample)
    image = ycrcb_to_rgb(np.concatenate([y, chroma]))
    return resize_8_bit(image, rgb.shape[1:], Resampling.BICUBIC)


def rgb_to_ycrcb(rgb: np.ndarray) -> np.ndarray:
    """Y, Cr, Cb of (3, H, W) uint8 RGB; (3, H, W) uint8, rounded. A grey pixel keeps its value as Y."""
    red, green, blue = rgb.astype(np.int32)
    y = scaled(zip(BT601_LUMINANCE, (red, green, blue)))
    return to_grey_values(
        y, scaled([(RED_TO_CR, red - y)]) + CHROMA_ZERO, scaled([(BLUE_TO_CB, blue - y)]) + CHROMA_ZERO
    )


def ycrcb_to_rgb(ycrcb: np.ndarray) -> np.ndarray:
    """Undo `rgb_to_ycrcb` up to rounding: (3, H, W) uint8 to the same, clipped where the colour leaves the RGB cube."""
    y, cr, cb = ycrcb.astype(np.int32)
    cr, cb = cr - CHROMA_ZERO, cb - CHROMA_ZERO
    green = scaled([(CB_TO_GREEN, cb), (CR_TO_GREEN, cr)])
    return to_grey_values(y + scaled([(CR_TO_RED, cr)]), y + green, y + scaled([(CB_TO_BLUE, cb)]))


def scaled(weighted: Iterable[tuple[float, np.ndarray]]) -> np.ndarray:
    """The sum of weight times integers, in fixed point, rounded to integers."""
    total = sum(round(weight * 2**COLOUR_BITS) * values for weight, values in weighted)
    return (total + 2 ** (COLOUR_BITS - 1)) >> COLOUR_BITS


def to_grey_values(*planes: np.ndarray) -> np.ndarray:
    """Integer planes clipped to 0...255 and stacked as uint8."""
    return np.stack(planes).clip(0, WHITE).astype(np.uint8)


def resize_8_bit(planes: np.ndarray, size: tuple[int, int], resample: int) -> np.ndarray:
    """Resize uint8 planes (C, H, W) to (C, *size), without antialiasing, rounded and clipped to 0...255.

    Args:
        planes: one or more planes of grey values.
        size: (height, width).
        resample: `Resampling.BILINEAR` or `Resampling.BICUBIC`.
    """
    if planes.shape[1:] == size:
        return planes
    row_taps, column_taps = (taps(own, new, resample) for own, new in zip(planes.shape[1:], size))
    levels = planes.astype(np.int64)
    across = np.sum([weights * levels[:, :, places] for places, weights in column_taps], axis=0)
    weighted = [(weights[:, None], across[:, places]) for places, weights in row_taps]
    if resample == Resampling.BILINEAR:
        # OpenCV drops bits before and after it multiplies, so that 16 bits are enough for each product
        total = sum((weights * (values >> 4)) >> 16 for weights, values in weighted)
        spare_bits = 2 * RESIZE_BITS - 4 - 16
    else:
        total = sum(weights * values for weights, values in weighted)
        spare_bits = 2 * RESIZE_BITS
    return to_grey_values(*((total + 2 ** (spare_bits - 1)) >> spare_bits))


def taps(own: int, new: int, resample: int) -> Taps:
    """For each tap of the filter, which of `own` places it takes for each of `new` ones, with which weight.

    Weights are whole numbers of which 2 ** RESIZE_BITS is one; places beyond the border are the border's.
    """
    places = ((np.arange(new) + 0.5) * (own / new) - 0.5).astype(np.float32)
    before = np.floor(places).astype(int)
    after = places - before.astype(np.float32)
    if resample == Resampling.BILINEAR:
        weights = {0: 1 - after, 1: after}
    else:
        first, second, third = far_cubic(1 + after), near_cubic(after), near_cubic(1 - after)
        weights = {-1: first, 0: second, 1: third, 2: 1 - first - second - third}
    return [
        ((before + offset).clip(0, own - 1), np.rint(weight * 2**RESIZE_BITS).astype(int))
        for offset, weight in weights.items()
    ]


def near_cubic(distance: np.ndarray) -> np.ndarray:
    """The bicubic kernel at distances 0 to 1."""
    return ((CUBIC + 2) * distance - (CUBIC + 3)) * distance**2 + 1


def far_cubic(distance: np.ndarray) -> np.ndarray:
    """The bicubic kernel at distances 1 to 2."""
    return ((CUBIC * distance - 5 * CUBIC) * distance + 8 * CUBIC) * distance - 4 * CUBIC
