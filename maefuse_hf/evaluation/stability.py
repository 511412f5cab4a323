# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""How much the same thing changes in brightness: between overlapping crops, and between frames of one scene."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from PIL import Image

CROP_CHANGE, FRAME_CHANGE = "crop change", "frame change"
CHANGES = frozenset({CROP_CHANGE, FRAME_CHANGE})

CROP_SHARE = 0.75
"""Of the width that each of two crops has, one at the left and one at the right edge."""

OBJECT_HEIGHT, OBJECT_WIDTH = 1 / 4, 1 / 10
"""Of the hot object, as shares of the image's height."""

OBJECT_PATH = (0.3, 0.35)
"""Where its centre is in the frames in which it is seen, as shares of the width."""

MARGIN = 1 / 8
"""Around the object, as a share of the height: pixels nearer than this may change with it."""

HOT = 255


Fuse = Callable[[Image.Image, Image.Image], Image.Image]
"""Fused luminance of infrared and visible, 8-bit images of one size."""


def stability(fuse: Fuse, infrared: Image.Image, visible: Image.Image) -> dict[str, float]:
    """Both changes of a method on one pair, in grey levels, 0 for a formula of single pixels. Lower is better.

    Args:
        fuse: makes the fused image of crops and frames.
        infrared, visible: the pair, 8 bits, of one size.

    Returns:
        `CROP_CHANGE`, see `crop_change`, and `FRAME_CHANGE`, see `frame_change`.
    """
    return {
        CROP_CHANGE: crop_change(fuse, infrared, visible),
        FRAME_CHANGE: frame_change(fuse, infrared, visible),
    }


def crop_change(fuse: Fuse, infrared: Image.Image, visible: Image.Image) -> float:
    """Mean absolute difference, in grey levels, of two crops' fused images where they show the same.

    The crops have the full height and `CROP_SHARE` of the width, so that they share the middle half of the image.
    """
    width, height = visible.size
    crop_width = round(CROP_SHARE * width)
    lefts = (0, width - crop_width)
    fused = [
        levels(fuse(*(image.crop((left, 0, left + crop_width, height)) for image in (infrared, visible))))
        for left in lefts
    ]
    return float(np.abs(fused[0][:, lefts[1] :] - fused[1][:, : crop_width - lefts[1]]).mean())


def frame_change(fuse: Fuse, infrared: Image.Image, visible: Image.Image) -> float:
    """Mean absolute difference, in grey levels, between consecutive fused frames away from a hot object that moves.

    The first frame is the pair itself; in the next ones an upright ellipse, white in infrared alone, stands in the
    middle of the height and walks to the right. Pixels nearer to it than `MARGIN`, in either frame, do not count.
    """
    width, height = visible.size
    shapes = [np.zeros((height, width), dtype=bool)]
    shapes += [ellipse(height, width, place * width, 0.0) for place in OBJECT_PATH]
    near = [np.zeros_like(shapes[0])]
    near += [ellipse(height, width, place * width, MARGIN * height) for place in OBJECT_PATH]
    thermal = np.asarray(infrared.convert("L"))
    fused = [levels(fuse(Image.fromarray(np.where(shape, HOT, thermal).astype(np.uint8)), visible)) for shape in shapes]
    changes = [
        np.abs(after - before)[~(near_before | near_after)].mean()
        for (before, after), (near_before, near_after) in zip(pairwise(fused), pairwise(near))
    ]
    return float(np.mean(changes))


def ellipse(height: int, width: int, centre: float, margin: float) -> np.ndarray:
    """Where the object stands, `(height, width)` bool, larger by a margin in pixels."""
    down = (np.arange(height)[:, None] + 0.5 - height / 2) / (OBJECT_HEIGHT * height / 2 + margin)
    across = (np.arange(width)[None] + 0.5 - centre) / (OBJECT_WIDTH * height / 2 + margin)
    return down**2 + across**2 <= 1


def levels(image: Image.Image) -> np.ndarray:
    """Luminance as float64."""
    return np.asarray(image.convert("L"), dtype=np.float64)
