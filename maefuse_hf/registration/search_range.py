# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""How infrared may lie in the photo."""

import math
from dataclasses import dataclass

import numpy as np

SCALE_STEP = 0.04
"""From one scale that is tried to the next, in their logarithm."""

ANGLE_STEP = math.radians(2)


@dataclass(frozen=True)
class SearchRange:
    """What a transform may be.

    Attributes:
        scale: least and largest width of infrared in the photo, as a share of the photo's width.
        rotation: largest turn to either side, in degrees.
        overlap: least share of infrared that lies in the photo.
    """

    scale: tuple[float, float] = (0.7, 1.2)
    rotation: float = 6.0
    overlap: float = 0.7

    def __post_init__(self) -> None:
        low, high = self.scale
        if not (0.1 <= low <= high <= 4):
            raise ValueError(f"The range of scales is {self.scale}; two numbers from 0.1 to 4 are needed, low first.")
        if not 0 <= self.rotation <= 45:
            raise ValueError(f"The largest rotation is {self.rotation}; a number of degrees from 0 to 45 is needed.")
        if not 0 < self.overlap <= 1:
            raise ValueError(f"The least overlap is {self.overlap}; a share above 0 is needed.")

    def scales(self) -> np.ndarray:
        """Widths to try, evenly spaced in their logarithm."""
        low, high = np.log(self.scale)
        return np.exp(np.linspace(low, high, math.ceil((high - low) / SCALE_STEP) + 1))

    def angles(self) -> np.ndarray:
        """Turns to try, in radians, 0 among them."""
        steps = math.ceil(math.radians(self.rotation) / ANGLE_STEP)
        return np.linspace(-1, 1, 2 * steps + 1) * math.radians(self.rotation)
