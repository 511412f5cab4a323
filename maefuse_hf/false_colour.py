# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Infrared images in colours: which palette they have, where that is certain, and what is said where it is not.

A palette gives each temperature a colour. Luminance of these colours is no scale of temperature: under "jet" both the
coldest and the hottest things are dark.
"""

from collections.abc import Sequence

import numpy as np

from .colour import WHITE

COLOURED, COLOURED_SHARE = 16, 0.01
"""Channels that differ by more grey levels than this, at more than this share of the pixels, make a coloured image.
Less is the noise of JPEG files, a logo or a cross-hair."""

TOLERANCE = 3
"""How many grey levels a colour may lie beside a palette's curve, in each channel."""

FEWEST_COLOURS, MOST_COLOURS = 32, 4096
"""Fewer colours may lie on a curve by chance, more never do."""

STEPS = 1021
"""Places on a curve that colours are compared with: four to a grey level."""

Breakpoints = Sequence[tuple[float, float]]

# place in the palette and level of the channel, both from 0 to 1, with straight lines between them
JET_OF_MATLAB = (
    ((0, 0), (3 / 8, 0), (5 / 8, 1), (7 / 8, 1), (1, 0.5)),
    ((0, 0), (1 / 8, 0), (3 / 8, 1), (5 / 8, 1), (7 / 8, 0), (1, 0)),
    ((0, 0.5), (1 / 8, 1), (3 / 8, 1), (5 / 8, 0), (1, 0)),
)
JET_OF_MATPLOTLIB = (
    ((0, 0), (0.35, 0), (0.66, 1), (0.89, 1), (1, 0.5)),
    ((0, 0), (0.125, 0), (0.375, 1), (0.64, 1), (0.91, 0), (1, 0)),
    ((0, 0.5), (0.11, 1), (0.34, 1), (0.65, 0), (1, 0)),
)
HOT_OF_MATPLOTLIB = (
    ((0, 0.0416), (0.365079, 1), (1, 1)),
    ((0, 0), (0.365079, 0), (0.746032, 1), (1, 1)),
    ((0, 0), (0.746032, 0), (1, 1)),
)
# every eighth colour of matplotlib's table, which is in the public domain (CC0)
INFERNO = (
    "000004 040312 0b0724 150b37 210c4a 2f0a5b 3d0965 4a0c6b 56106e 63156e 70196e 7d1e6d 89226a 962766 "
    "a32c61 af315b bb3654 c63d4d d14545 da4f3c e35932 eb6529 f1721e f67f14 f98c0a fb9b06 fcaa0f fbba1f "
    "f9c932 f5d949 f2e865 f3f586 fcffa4 "
)


def curve_between(channels: Sequence[Breakpoints]) -> np.ndarray:
    """(`STEPS`, 3) colours in grey levels of a palette that is given by each channel's breakpoints."""
    places = np.linspace(0, 1, STEPS)
    levels = [np.interp(places, *np.transpose(breakpoints)) for breakpoints in channels]
    return np.stack(levels, axis=1) * WHITE


def curve_through(colours: str) -> np.ndarray:
    """(`STEPS`, 3) colours in grey levels of a palette that is given by colours in equal steps."""
    levels = np.array([list(bytes.fromhex(colour)) for colour in colours.split()])
    places, steps = np.linspace(0, 1, STEPS), np.linspace(0, 1, len(levels))
    return np.stack([np.interp(places, steps, channel) for channel in levels.T], axis=1)


CURVES = {
    "jet": curve_between(JET_OF_MATLAB),
    "jet (matplotlib)": curve_between(JET_OF_MATPLOTLIB),
    "hot": curve_between(HOT_OF_MATPLOTLIB),
    "inferno": curve_through(INFERNO),
}
"""Name of a palette to its colours, from cold to hot."""


def distances_to(curve: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """(colours, steps): how many grey levels each colour (colours, 3) lies beside each step of a curve (steps, 3), in
    the channel where it is most."""
    return np.abs(colours[:, None] - curve.astype(np.float32)).max(axis=2)


def is_coloured(pixels: np.ndarray) -> bool:
    """Whether (3, H, W) uint8 shows colours; other channels and dtypes are never called coloured."""
    if pixels.dtype != np.uint8 or len(pixels) != 3:
        return False
    return (np.ptp(pixels, axis=0) > COLOURED).mean() > COLOURED_SHARE


def recovered_scale(pixels: np.ndarray) -> tuple[str, np.ndarray] | None:
    """The palette of a false-colour image and the place of each pixel in it, where every pixel lies on its curve.

    Args:
        pixels: (3, H, W) uint8.

    Returns:
        a name in `CURVES`, and (1, H, W) uint8, black for the palette's first colour and white for its last; None where
        the image fits none of them, as after JPEG compression or with a logo in it.
    """
    red, green, blue = pixels.astype(np.uint32)
    packed, inverse = np.unique(red << 16 | green << 8 | blue, return_inverse=True)
    if not FEWEST_COLOURS <= len(packed) <= MOST_COLOURS:
        return None
    colours = np.stack([packed >> 16, packed >> 8 & 0xFF, packed & 0xFF], axis=1).astype(np.float32)
    best: tuple[str, np.ndarray] | None = None
    nearest = float("inf")
    some = colours[:: max(1, len(colours) // FEWEST_COLOURS)]
    for name, curve in CURVES.items():
        if distances_to(curve, some).min(axis=1).max() > TOLERANCE:
            continue
        distances = distances_to(curve, colours)
        farthest = distances.min(axis=1).max()
        if farthest <= TOLERANCE and farthest < nearest:
            # where a palette keeps one colour over several steps, the middle of these
            last = STEPS - 1 - distances[:, ::-1].argmin(axis=1)
            nearest, best = farthest, (name, (distances.argmin(axis=1) + last) / 2)
    if best is None:
        return None
    levels = np.round(best[1] * (WHITE / (STEPS - 1))).astype(np.uint8)
    return best[0], levels[inverse].reshape(1, *pixels.shape[1:])


def heat_of(infrared: np.ndarray, name: str, visible: np.ndarray | None = None) -> tuple[np.ndarray, str]:
    """What of an infrared image stands for heat, and what its reader should know.

    Args:
        infrared: (C, H, W) in its own numbers.
        name: how sentences call it.
        visible: the visible image, (C, H, W); with it, swapped images are noticed.

    Returns:
        the image itself, or (1, H, W) uint8 where it is in the colours of a known palette; and a sentence, empty where
        there is nothing to say.
    """
    if not is_coloured(infrared):
        return infrared, ""
    if (recovered := recovered_scale(infrared)) is not None:
        palette, scale = recovered
        return (
            scale,
            f"{name} is in the false colours of the palette {palette!r}; they were turned back into its scale.",
        )
    swapped = visible is not None and visible.dtype == np.uint8 and not is_coloured(visible)
    question = " and the visible image in grey. Are they swapped? If not," if swapped else ";"
    return infrared, (
        f"{name} is in colours{question} their luminance is taken for heat, though under most palettes hotter is not "
        "always brighter. Save infrared in grey (white hot) or as raw values."
    )
