# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""How a thermal camera and a photo camera that are fixed to each other lie: one transform, kept in a file."""

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..image_files import opened_file

VERSION = 1
VERSION_KEY = "maefuse_rig"
MODELS = ("similarity", "homography")
"""What a transform may be: rotation, one scale and shift; or any view of a plane."""

Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Rig:
    """Where the infrared image lies in the photo.

    Coordinates are (x, y) in pixels. 0, 0 is the upper left corner of the first pixel, whose centre is 0.5, 0.5, as in
    `maefuse_hf.cameras.Box`.

    Attributes:
        infrared_size, visible_size: (width, height) of the images that it holds for.
        transform: (3, 3) float64, homogeneous coordinates of infrared to those of the photo, scaled so that the last
            entry is 1.
        model: one of `MODELS`.
        score: how far independent estimates of the transform agreed, in [0, 1]; see `maefuse_hf.registration.register`.
        pairs: from how many pairs of images it was made.

    Raises:
        ValueError: the numbers make no such transform, or no pixel of the photo lies in infrared's footprint.
    """

    infrared_size: Size
    visible_size: Size
    transform: np.ndarray
    model: str
    score: float
    pairs: int

    def __post_init__(self) -> None:
        for name, size in (("infrared_size", self.infrared_size), ("visible_size", self.visible_size)):
            if len(size) != 2 or not all(is_whole(side) and side > 0 for side in size):
                raise ValueError(f"{name} is {size}; width and height are needed, whole numbers above 0.")
        if self.model not in MODELS:
            raise ValueError(f"model is {self.model!r}; there are {', '.join(MODELS)}.")
        if not is_number(self.score) or not 0 <= self.score <= 1:
            raise ValueError(f"score is {self.score!r}; a number from 0 to 1 is needed.")
        if not is_whole(self.pairs) or self.pairs < 1:
            raise ValueError(f"pairs is {self.pairs!r}; a whole number above 0 is needed.")
        object.__setattr__(self, "transform", checked_transform(self.transform, self.model))
        left, top, right, bottom = self.bounds
        width, height = self.visible_size
        if not (left < width and top < height and right > 0 and bottom > 0):
            raise ValueError(
                f"By this transform infrared lies at {left:.0f}, {top:.0f} to {right:.0f}, {bottom:.0f}, outside of "
                f"the photo of {width}×{height}."
            )

    @property
    def footprint(self) -> np.ndarray:
        """Infrared's four corners in the photo, (4, 2), clockwise from the upper left.

        A `ValueError` says that the transform has a horizon within infrared or mirrors it.
        """
        width, height = self.infrared_size
        corners = np.array([(0, 0, 1), (width, 0, 1), (width, height, 1), (0, height, 1)], float) @ self.transform.T
        if (corners[:, 2] <= 0).any():
            raise ValueError("The transform sends a part of infrared behind the horizon.")
        places = corners[:, :2] / corners[:, 2:]
        sides = np.roll(places, -1, axis=0) - places
        turns = sides[:, 0] * np.roll(sides, -1, axis=0)[:, 1] - sides[:, 1] * np.roll(sides, -1, axis=0)[:, 0]
        if (turns <= 0).any():
            raise ValueError("The transform mirrors infrared or has no area.")
        return places

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the footprint, in pixels of the photo."""
        left, top = self.footprint.min(axis=0).tolist()
        right, bottom = self.footprint.max(axis=0).tolist()
        return left, top, right, bottom

    def require_sizes(self, infrared: Size, visible: Size, name: str = "The rig") -> None:
        """Raise a `ValueError` for images, (width, height), of other sizes than the rig was made with."""
        if (infrared, visible) != (self.infrared_size, self.visible_size):
            raise ValueError(
                f"{name} holds for infrared of {shape_text(self.infrared_size)} and a photo of "
                f"{shape_text(self.visible_size)}; these have {shape_text(infrared)} and {shape_text(visible)}. Make a "
                "rig from images of these sizes: maefuse align INFRARED PHOTO -o rig.json"
            )


def checked_transform(transform: Any, model: str) -> np.ndarray:
    """A transform as (3, 3) float64 with 1 as its last entry; a `ValueError` says what is wrong with it."""
    try:
        matrix = np.array(transform, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError("transform needs three rows of three numbers.") from error
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or matrix[2, 2] == 0:
        raise ValueError("transform needs three rows of three finite numbers, the last of them not 0.")
    matrix = matrix / matrix[2, 2]
    scale = np.abs(matrix[:2, :2]).max()
    similar = np.allclose(
        matrix[:2, :2], [[matrix[0, 0], -matrix[1, 0]], [matrix[1, 0], matrix[0, 0]]], 0, 1e-6 * scale
    )
    if model == "similarity" and not (similar and np.array_equal(matrix[2], (0, 0, 1))):
        raise ValueError("transform is no similarity: rotation, one scale and shift. Its model would be homography.")
    return matrix


def save_rig(rig: Rig, path: str | os.PathLike[str]) -> None:
    """Write a rig file; an `OSError` says why it cannot be."""
    content = {
        VERSION_KEY: VERSION,
        "infrared_size": list(rig.infrared_size),
        "visible_size": list(rig.visible_size),
        "transform": rig.transform.tolist(),
        "model": rig.model,
        "score": rig.score,
        "pairs": rig.pairs,
    }
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in content.items())
    part = Path(f"{os.fspath(path)}.part")
    try:
        part.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OSError(f"{path} cannot be written: {error.strerror}. Choose another name.") from error


def load_rig(path: str | os.PathLike[str]) -> Rig:
    """Read a rig file.

    Raises:
        OSError: it is missing or cannot be read.
        ValueError: it is no rig file, of a version not known here, lacks a value, has others, or values that make no
            transform.
    """
    with opened_file(path, str(path)) as file:
        content = file.read()
    try:
        values = json.loads(content)
    except ValueError as error:
        raise ValueError(f"{path} is no rig file: no JSON ({error}). `maefuse align` writes one.") from error
    if not isinstance(values, dict) or VERSION_KEY not in values:
        raise ValueError(f"{path} is no rig file: it lacks {VERSION_KEY!r}. `maefuse align` writes one.")
    if values.pop(VERSION_KEY) != VERSION:
        raise ValueError(f"{path} is a rig file of another version than {VERSION}; make it again with `maefuse align`.")
    needed = set(Rig.__dataclass_fields__)
    if values.keys() != needed:
        lacking, unknown = sorted(needed - values.keys()), sorted(values.keys() - needed)
        raise ValueError(f"{path}: lacking {lacking}, unknown {unknown}. Make it again with `maefuse align`.")
    try:
        for name in ("infrared_size", "visible_size"):
            values[name] = as_size(values[name], name)
        return Rig(**values)
    except ValueError as error:
        raise ValueError(f"{path}: {error} Make it again with `maefuse align`.") from error


def as_size(value: Any, name: str) -> Size:
    """A list of two as a size; their values are left to `Rig`."""
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f"{name} is {value!r}; [width, height] is needed.")
    return value[0], value[1]


def is_whole(value: Any) -> bool:
    """Whether it is an integer; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether it is a finite number; true and false are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def shape_text(size: Size) -> str:
    """Such as 640×480."""
    return f"{size[0]}×{size[1]}"
