# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Infrared that covers a part of the photo: cut out, and blended back so that its border does not show."""

import math

import numpy as np
from PIL import Image

from ..cameras.camera_pair import Box
from ..colour import WHITE, replace_luminance, rgb_to_luminance

FEATHER = 0.25
"""Over which share of the box's shorter side the fused image sets in, from its border inwards."""

GAMMA_LIMITS = 0.4, 2.5
"""How far the fused image's brightness may be bent towards the photo's around it."""

Region = tuple[int, int, int, int]


def covered_region(box: Box, photo_size: tuple[int, int]) -> Region:
    """The photo's whole pixels that lie in the box: left, top, right, bottom, the last two exclusive.

    Args:
        photo_size: (width, height).

    Raises:
        ValueError: the box is not finite, has no area, or no pixel of the photo lies in it.
    """
    left, top, right, bottom = box
    width, height = photo_size
    if not all(map(math.isfinite, box)) or left >= right or top >= bottom:
        raise ValueError(f"The infrared box is {box}. Give left, top, right and bottom in pixels of the photo.")
    region = (
        max(math.ceil(left), 0),
        max(math.ceil(top), 0),
        min(math.floor(right), width),
        min(math.floor(bottom), height),
    )
    if region[0] >= region[2] or region[1] >= region[3]:
        raise ValueError(f"The infrared box {box} holds no pixel of the photo, which has {width}×{height}.")
    return region


def infrared_over(infrared: np.ndarray, box: Box, region: Region) -> np.ndarray:
    """Infrared resampled (bicubic, antialiased) to the photo's pixels in `region`, kept within its own values.

    Args:
        infrared: (h, w), which fills the box.
        region: from `covered_region`.

    Returns:
        (region's height, region's width) float32.
    """
    height, width = infrared.shape
    across, down = width / (box[2] - box[0]), height / (box[3] - box[1])
    source = (
        (region[0] - box[0]) * across,
        (region[1] - box[1]) * down,
        min((region[2] - box[0]) * across, width),
        min((region[3] - box[1]) * down, height),
    )
    values = infrared.astype(np.float32)
    size = region[2] - region[0], region[3] - region[1]
    resampled = Image.fromarray(values).resize(size, Image.Resampling.BICUBIC, box=source)
    return np.asarray(resampled).clip(values.min(), values.max())


def feather_weights(region: Region, photo_size: tuple[int, int]) -> np.ndarray:
    """How much of the fused image each pixel of the region takes: (height, width) in [0, 1].

    It rises as 3 s² - 2 s³ from 0 at the region's border to 1 at `FEATHER` of its shorter side, s the share of
    that way.
    Where the region ends with the photo there is no border, and it is 1 up to the edge.
    """
    sides = region[2] - region[0], region[3] - region[1]
    reach = FEATHER * min(sides)
    rises = []
    for start, side, limit in zip(region[:2], sides, photo_size):
        places = np.arange(side) + 0.5
        distance = np.full(side, np.inf)
        if start > 0:
            distance = np.minimum(distance, places)
        if start + side < limit:
            distance = np.minimum(distance, side - places)
        share = (distance / reach).clip(0, 1)
        rises.append(share * share * (3 - 2 * share))
    return np.outer(rises[1], rises[0])


def matched_gamma(photo: np.ndarray, fused: np.ndarray, border: np.ndarray) -> float:
    """The exponent that gives the fused luminance the photo's mean brightness along the border.

    A dark cold background in a bright photo would show the box as a shadow, however softly it set in. An exponent keeps
    black, white and the order of all grey values.

    Args:
        photo, fused: (1, H, W) luminance in [0, 1].
        border: (H, W), true where the photo shows through.

    Returns:
        log(mean photo) / log(mean fused), within `GAMMA_LIMITS`; 1 without a border.
    """
    if not border.any():
        return 1.0
    darkest = 1 / WHITE
    own, wanted = (luminance[0][border].mean().clip(darkest, 1 - darkest) for luminance in (fused, photo))
    return float((np.log(wanted) / np.log(own)).clip(*GAMMA_LIMITS))


def blend_into_photo(photo: Image.Image, fused: Image.Image, region: Region) -> Image.Image:
    """The photo with the fused image in it, under `feather_weights`; outside the region it is the photo bit by bit.

    The fused luminance is first bent by `matched_gamma`; its colours stay.

    Args:
        photo: RGB.
        fused: RGB, of the region's size.
    """
    weights = feather_weights(region, photo.size)
    outer, inner = (np.moveaxis(np.asarray(image), -1, 0) for image in (photo.crop(region), fused))
    around, own = (rgb_to_luminance(rgb.astype(np.float32) / WHITE).clip(0, 1) for rgb in (outer, inner))
    matched = replace_luminance(inner, own ** matched_gamma(around, own, weights < 1))
    mixed = outer + weights * (matched.astype(np.float64) - outer)
    image = photo.copy()
    image.paste(Image.fromarray(np.moveaxis(np.rint(mixed).astype(np.uint8), 0, -1)), region[:2])
    return image
