# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Infrared that covers a part of the photo: cut out, and blended back so that its border does not show."""

import math

import numpy as np
from PIL import Image

from ..cameras.camera_pair import Box
from ..colour import WHITE, replace_luminance, rgb_to_luminance
from ..registration.rig import Rig
from ..registration.warp import BAND, warp_infrared

FEATHER = 0.25
"""Over which share of the box's shorter side the fused image sets in, from its border inwards."""

GAMMA_LIMITS = 0.4, 2.5
"""How far the fused image's brightness may be bent towards the photo's around it."""

Region = tuple[int, int, int, int]


def infrared_in_photo(
    infrared: np.ndarray, place: Box | Rig, photo_size: tuple[int, int]
) -> tuple[Region, np.ndarray, np.ndarray]:
    """Infrared in the photo's pixels, and where it counts.

    Args:
        infrared: (h, w), finite.
        place: where it lies: a box, or a rig of these sizes.
        photo_size: (width, height).

    Returns:
        the region of the photo, infrared there, float32, and its weights for `blend_into_photo`, both of the region's
        size.

    Raises:
        ValueError: the rig is of other sizes, or no pixel of the photo lies where infrared is.
    """
    if not isinstance(place, Rig):
        region = covered_region(place, photo_size)
        return region, infrared_over(infrared, place, region), feather_weights(region, photo_size)
    height, width = infrared.shape
    place.require_sizes((width, height), photo_size)
    region = covered_region(place.bounds, photo_size)
    weights = footprint_weights(place.footprint, region, photo_size)
    if not weights.any():
        raise ValueError(f"By the rig no pixel of the photo, {photo_size[0]}×{photo_size[1]}, lies in infrared.")
    return region, warp_infrared(infrared, place, region), weights


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


def footprint_weights(footprint: np.ndarray, region: Region, photo_size: tuple[int, int]) -> np.ndarray:
    """How much of the fused image each pixel of the region takes, for a footprint of any four sides.

    As in `feather_weights`, with the distance to the nearest side that lies in the photo; 0 outside of the footprint.

    Args:
        footprint: (4, 2), convex, clockwise from the upper left, in pixels of the photo.

    Returns:
        (height, width) in [0, 1].
    """
    left, top, right, bottom = region
    reach = FEATHER * min(right - left, bottom - top)
    weights = np.empty((bottom - top, right - left))
    for start in range(top, bottom, BAND):
        end = min(start + BAND, bottom)
        weights[start - top : end - top] = footprint_band(footprint, (left, start, right, end), photo_size, reach)
    return weights


def footprint_band(footprint: np.ndarray, region: Region, photo_size: tuple[int, int], reach: float) -> np.ndarray:
    """The weights of a part of the region; `reach` is over how many pixels they rise."""
    across, down = np.meshgrid(np.arange(region[0], region[2]) + 0.5, np.arange(region[1], region[3]) + 0.5)
    nearest = np.full(across.shape, np.inf)
    inside = np.ones(across.shape, bool)
    for start, end in zip(footprint, np.roll(footprint, -1, axis=0)):
        inside &= (end[0] - start[0]) * (down - start[1]) >= (end[1] - start[1]) * (across - start[0])
        if (seen := side_in_photo(start, end, photo_size)) is not None:
            nearest = np.minimum(nearest, distance_to_side(across, down, *seen))
    share = (nearest / reach).clip(0, 1)
    return np.where(inside, share * share * (3 - 2 * share), 0)


def side_in_photo(
    start: np.ndarray, end: np.ndarray, photo_size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray] | None:
    """The part of a side, (2,) to (2,), that lies strictly inside the photo, by Liang and Barsky; None if none does."""
    way = end - start
    first, last = 0.0, 1.0
    for place, step, limit in zip(start, way, photo_size):
        if step == 0:
            if not 0 < place < limit:
                return None
            continue
        enters, leaves = sorted((-place / step, (limit - place) / step))
        first, last = max(first, enters), min(last, leaves)
    return (start + first * way, start + last * way) if first < last else None


def distance_to_side(across: np.ndarray, down: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Distance of places from the side between two points, of `across`'s shape."""
    way = end - start
    along = (((across - start[0]) * way[0] + (down - start[1]) * way[1]) / (way @ way)).clip(0, 1)
    return np.hypot(across - start[0] - along * way[0], down - start[1] - along * way[1])


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


def border_gamma(photo: Image.Image, fused: Image.Image, region: Region, weights: np.ndarray) -> float:
    """`matched_gamma` of an RGB photo and the fused image, RGB, that goes into a region of it."""
    around, own = (unit_luminance(np.moveaxis(np.asarray(image), -1, 0)) for image in (photo.crop(region), fused))
    return matched_gamma(around, own, (weights > 0) & (weights < 1))


def unit_luminance(rgb: np.ndarray) -> np.ndarray:
    """(3, H, W) uint8 to (1, H, W) luminance in [0, 1]."""
    return rgb_to_luminance(rgb.astype(np.float32) / WHITE).clip(0, 1)


def blend_into_photo(
    photo: Image.Image, fused: Image.Image, region: Region, weights: np.ndarray, gamma: float | None = None
) -> Image.Image:
    """The photo with the fused image in it; outside the region and under weight 0 it is the photo bit by bit.

    The fused luminance is first bent by an exponent; its colours stay.

    Args:
        photo: RGB.
        fused: RGB, of the region's size.
        weights: (region's height, region's width), from `feather_weights` or `footprint_weights`.
        gamma: the exponent; without one, `border_gamma`.
    """
    if gamma is None:
        gamma = border_gamma(photo, fused, region, weights)
    outer, inner = (np.moveaxis(np.asarray(image), -1, 0) for image in (photo.crop(region), fused))
    matched = replace_luminance(inner, unit_luminance(inner) ** gamma)
    mixed = outer + weights * (matched.astype(np.float64) - outer)
    image = photo.copy()
    image.paste(Image.fromarray(np.moveaxis(np.rint(mixed).astype(np.uint8), 0, -1)), region[:2])
    return image
