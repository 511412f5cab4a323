"""Boxes of people and cars from label images."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

LABELS = {"car": 1, "person": 2}
"""Level in the label images of MSRS of what the detector looks for."""

SMALLEST_HEIGHT = {"car": 24, "person": 32}
"""Boxes that are less high, in pixels of a 480 px high image, are not asked for: the detector sees none of them."""

WIDEST = {"car": 6.0, "person": 1.0}
"""Boxes that are wider for their height are several things in one, or parts of one."""

SMALLEST_AREA = 0.25
"""Share of a box that its pixels must fill: less is a remnant behind something else."""


class Truth(NamedTuple):
    """What an image shows of one kind: boxes `(N, 4)` as left, top, right, bottom in pixels, and which of them a
    detector may find or miss without being counted, `(N,)` bool."""

    boxes: np.ndarray
    ignored: np.ndarray


def truths(labels: np.ndarray) -> dict[str, Truth]:
    """Boxes around the connected areas (of eight neighbours) of each kind in a label image `(H, W)`.

    Ignored are areas that touch the image's border (they may be cut), that are smaller than `SMALLEST_HEIGHT` or fill
    less than `SMALLEST_AREA` of their box, and that are wider for their height than `WIDEST`.
    """
    return {kind: truth(labels == level, kind) for kind, level in LABELS.items()}


def truth(mask: np.ndarray, kind: str) -> Truth:
    """The boxes of one kind in its mask `(H, W)` bool, see `truths`."""
    rows, columns = mask.shape
    areas, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    boxes, ignored = [], []
    for number, (down, across) in enumerate(ndimage.find_objects(areas), start=1):
        height, width = down.stop - down.start, across.stop - across.start
        at_border = down.start == 0 or across.start == 0 or down.stop == rows or across.stop == columns
        filled = (areas[down, across] == number).mean()
        boxes.append((across.start, down.start, across.stop, down.stop))
        ignored.append(
            at_border or height < SMALLEST_HEIGHT[kind] or width > WIDEST[kind] * height or filled < SMALLEST_AREA
        )
    return Truth(np.array(boxes, dtype=np.float64).reshape(-1, 4), np.array(ignored, dtype=bool))


def read_labels(folder: Path, name: str) -> np.ndarray:
    """The label image `(H, W)` uint8 of a pair; an `OSError` if there is none."""
    return np.asarray(Image.open(folder / f"{name}.png", formats=["PNG"]))
