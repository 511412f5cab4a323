# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""What is hot, coloured by a thermal palette, in a fused image that stays readable as a photo."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from ..colour import WHITE, resize_planes, rgb_to_luminance, to_uint8
from ..image_processing_maefuse import as_array

PALETTES: Mapping[str, tuple[tuple[int, int, int], ...]] = {
    "ironbow": ((52, 10, 120), (150, 16, 140), (214, 50, 70), (246, 120, 10), (255, 196, 0)),
    "rainbow": ((20, 40, 200), (0, 150, 190), (30, 180, 60), (240, 210, 0), (235, 40, 20)),
    "arctic": ((20, 60, 190), (40, 150, 220), (130, 190, 200), (230, 180, 80), (255, 150, 0)),
    "red-hot": ((90, 10, 10), (170, 15, 15), (225, 30, 20), (255, 60, 30), (255, 90, 40)),
}
"""Name in the field to colours in equal steps, from what is just warm enough to be coloured to the hottest; RGB.

Only their hue and saturation count, since luminance comes from the fused image. So none of them ends in white.
"""

COLD_PERCENTILE, HOT_PERCENTILE = 60.0, 99.5
"""Between which places of an image colour sets in and is full."""

DARKENED = 0.35
"""The share of luminance that full colour takes: near white there is no room for colour."""


def thermal_overlay(
    image: Image.Image, infrared: np.ndarray, palette: str = "ironbow", strength: float = 1.0
) -> Image.Image:
    """Colour what is hot.

    Luminance Y comes from the image and is lowered to Y (1 - `DARKENED` w) where colour is added; colour R - Y,
    G - Y and B - Y is (1 - w) the image's own plus w the palette's, shrunk to what the RGB cube has room for at that
    luminance. The weight w is `strength` times `hotness(infrared)`, and hotness is the place in the palette.

    Args:
        image: the fused image, RGB or grey.
        infrared: (H, W) floating point in [0, 1] of the image's size, hot is bright; `seen_infrared` gives it.
        palette: a name in `PALETTES`.
        strength: from 0, the image as it is, to 1.

    Returns:
        an RGB image.

    Raises:
        ValueError: unknown palette, strength out of range, or sizes that differ.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"The strength of a thermal palette is {strength}; give 0 to 1.")
    if infrared.shape != image.size[::-1]:
        raise ValueError(
            f"The infrared image is {infrared.shape} and the image to colour {image.size[::-1]} (height, width); "
            "they must be equal. Resize infrared first."
        )
    hot = hotness(infrared)
    weight = strength * hot
    rgb = np.moveaxis(np.asarray(image.convert("RGB")), -1, 0).astype(np.float32) / WHITE
    luminance, colours = rgb_to_luminance(rgb), palette_colours(palette, hot)
    dimmed = luminance * (1 - DARKENED * weight)
    chroma = colours - rgb_to_luminance(colours)
    # what each channel may add or take before it leaves the cube, in units of what the palette wants
    room = np.where(chroma > 0, 1 - dimmed, dimmed) / np.maximum(np.abs(chroma), np.finfo(np.float32).tiny)
    chroma = chroma * np.minimum(1, room.min(axis=0))
    mixed = dimmed + (1 - weight) * (rgb - luminance) + weight * chroma
    return Image.fromarray(np.moveaxis(to_uint8(mixed), 0, -1))


def hotness(infrared: np.ndarray) -> np.ndarray:
    """How hot each place is among the places of its image.

    Args:
        infrared: (H, W) floating point, hot is bright.

    Returns:
        (H, W) in [0, 1]: 0 for the colder part of the image, rising smoothly to 1 for the few hottest places. Where
        the two percentiles coincide, from the coldest place to the hottest; 0 everywhere if these coincide too.
    """
    cold, hot = np.percentile(infrared, (COLD_PERCENTILE, HOT_PERCENTILE))
    if hot <= cold:
        cold, hot = infrared.min(), infrared.max()
    if hot <= cold:
        return np.zeros_like(infrared)
    rise = ((infrared - cold) / (hot - cold)).clip(0, 1)
    return rise * rise * (3 - 2 * rise)


def palette_colours(palette: str, places: np.ndarray) -> np.ndarray:
    """Colours of a palette at `places` (H, W) in [0, 1], interpolated, as (3, H, W) float32 in [0, 1].

    Raises:
        ValueError: if there is no such palette; lists those there are.
    """
    if palette not in PALETTES:
        raise ValueError(f"There is no thermal palette {palette!r}; choose one of {', '.join(PALETTES)}.")
    anchors = np.array(PALETTES[palette], dtype=np.float32) / WHITE
    steps = np.linspace(0, 1, len(anchors))
    return np.stack([np.interp(places, steps, channel) for channel in anchors.T]).astype(np.float32)


def seen_infrared(inputs: Mapping[str, Any]) -> np.ndarray:
    """The infrared image as the model sees it: scaled, without padding, at the visible image's size.

    Args:
        inputs: what [`MaeFuseImageProcessor`] returned for one pair.

    Returns:
        (H, W) float32 in [0, 1].
    """
    own = as_array(inputs["original_sizes"])[0].tolist()
    height, width = as_array(inputs["resized_sizes"])[0].tolist() if "resized_sizes" in inputs else own
    content = as_array(inputs["infrared"])[0, :, :height, :width].astype(np.float32)
    return resize_planes(content, tuple(own), Image.Resampling.BICUBIC)[0]
