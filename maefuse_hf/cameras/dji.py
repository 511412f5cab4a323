# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""R-JPEG of DJI's own thermal cameras, such as the H20T.

APP3 segments, joined, are the sensor's values as little-endian 16-bit words of the size of the image shown.
"""

import numpy as np

from .camera_pair import CameraPair
from .jpeg_segments import APP3, JpegHeader

MAKE = "DJI"
NO_TEMPERATURES = (
    "DJI does not publish how its raw values become temperatures. Fuse with raw values (--infrared-range), or convert "
    "the file with DJI's Thermal SDK or Thermal Analysis Tool and give the exported TIFF."
)


def has_dji_values(header: JpegHeader) -> bool:
    """Whether this is an R-JPEG of DJI."""
    return header.camera[0] == MAKE and bool(header.contents(APP3))


def read_dji(header: JpegHeader, name: str) -> CameraPair:
    """The raw values of an R-JPEG; it holds no photo and no temperatures that can be known.

    Raises:
        OSError: there are fewer or more values than pixels.
    """
    camera = " ".join(header.camera)
    content, size = b"".join(header.contents(APP3)), header.size
    if size is None or len(content) != 2 * size[0] * size[1]:
        raise OSError(
            f"{name}: {camera} stored {len(content)} bytes of thermal values, "
            + (
                "of an image of unknown size"
                if size is None
                else f"{size[1]}×{size[0]} pixels need {2 * size[0] * size[1]}"
            )
            + ". The file is truncated or of a model not known here; copy the original from the card again, or "
            "convert it with DJI's Thermal SDK to a TIFF."
        )
    raw = np.frombuffer(content, dtype="<u2").reshape(size).astype(np.uint16)
    return CameraPair(camera, raw, temperature_note=NO_TEMPERATURES)
