# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""What a thermal camera's file holds, whichever camera wrote it."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from PIL import Image

Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right and bottom edge in pixels of the photo; 0, 0 is the upper left corner of its first pixel."""

CELSIUS_0 = 273.15
"""0 °C in kelvin."""


@dataclass(frozen=True)
class CameraPair:
    """Infrared and, where the camera took one, the photo.

    Attributes:
        camera: its name, for messages.
        raw: (h, w), the sensor's values as stored; more is hotter.
        temperatures: (h, w) float32 in °C, of `raw`'s shape; NaN where the camera's formula has no value. None where
            they cannot be known.
        visible: the embedded photo, RGB. None where there is none.
        infrared_box: where infrared lies in `visible`. None where the file does not say.
        temperature_note: why `temperatures` is None and what would help.
    """

    camera: str
    raw: np.ndarray
    temperatures: np.ndarray | None = None
    visible: Image.Image | None = None
    infrared_box: Box | None = None
    temperature_note: str = ""
