# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""A pair as the image processor makes it, in rows as they are asked for: for images too large to hold as floats."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..colour import resized_luminance, rgb_to_luminance, to_uint8
from ..image_processing_maefuse import (
    Limits,
    MaeFuseImageProcessor,
    fitting_limits,
    is_measured,
    list_images,
    read_infrared,
    read_pixels,
    require_one_size,
    unit_rgb,
)


class PairRows:
    """Two images of one view at the visible image's size, in their own numbers, and their luminance row by row.

    Args:
        processor: its settings count, without `size` and `eight_bit`.
        infrared, visible: files or PIL images.
        overrides: of the processor's settings.

    Raises:
        OSError, ValueError: what the processor raises for images that cannot be used.
    """

    def __init__(
        self,
        processor: MaeFuseImageProcessor,
        infrared: Path | Image.Image,
        visible: Path | Image.Image,
        **overrides: Any,
    ) -> None:
        settings = processor.settings(**overrides)
        [(infrared_name, thermal)], [(visible_name, photo)] = (
            list_images(infrared, "infrared"),
            list_images(visible, "visible"),
        )
        percentiles = settings["percentiles"]
        self._visible = read_pixels(photo, visible_name)
        self._infrared = read_infrared(thermal, infrared_name, self._visible)
        self._visible_limits = fitting_limits(
            self._visible, visible_name, settings["visible_range"], percentiles, is_measured(photo)
        )
        self._infrared_limits: Limits = fitting_limits(
            self._infrared, infrared_name, settings["infrared_range"], percentiles, is_measured(thermal)
        )
        self.size = self._visible.shape[1:]
        if not settings["resize_infrared"]:
            require_one_size(self._infrared, infrared_name, self._visible, visible_name)
        elif self._infrared.shape[1:] != self.size:
            unit = unit_rgb(self._infrared, self._infrared_limits)
            self._infrared, self._infrared_limits = resized_luminance(unit, self.size, settings["resample"]), (0, 1)
        # as `pad_to_multiple` reflects: which row and column stands at each place
        self._rows, self._columns = (
            np.pad(np.arange(side), (0, -side % settings["size_divisor"]), mode="reflect") for side in self.size
        )

    @property
    def padded_size(self) -> tuple[int, int]:
        """Height and width with the padding to whole patches."""
        return len(self._rows), len(self._columns)

    def luminance(self, begin: int, end: int) -> list[Tensor]:
        """Infrared and visible luminance of padded rows: each `(1, 1, end - begin, padded width)` float32 in [0, 1]."""
        return [
            torch.from_numpy(rgb_to_luminance(unit_rgb(pixels[:, self._rows[begin:end]], limits))[None])[
                ..., self._columns
            ]
            for pixels, limits in (
                (self._infrared, self._infrared_limits),
                (self._visible, self._visible_limits),
            )
        ]

    def colours(self, begin: int, end: int) -> np.ndarray:
        """The visible image's rows: (3, end - begin, width) uint8."""
        return to_uint8(unit_rgb(self._visible[:, begin:end], self._visible_limits))

    def infrared(self) -> np.ndarray:
        """All of infrared as the model sees it, without padding: (height, width) float32 in [0, 1]."""
        return rgb_to_luminance(unit_rgb(self._infrared, self._infrared_limits))[0]
