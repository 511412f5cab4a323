# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Files to where infrared lies in the photo."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from ..cameras import open_infrared
from ..cameras.reading import open_camera_file
from ..image_processing_maefuse import MaeFuseImageProcessor
from ..registration import Registration, SearchRange, register_pairs
from .file_fusion import FilePath, embedded_photo, infrared_pixels, infrared_values, photo_8_bit

FilePair = tuple[FilePath, FilePath | None]
"""Infrared and photo; None for the photo in the camera's file."""


def read_pair(
    infrared: FilePath, visible: FilePath | None = None, infrared_unit: str | None = None
) -> tuple[np.ndarray, Image.Image]:
    """The two images of a pair at their own sizes.

    Args:
        infrared, visible, infrared_unit: as for `fuse_files`.

    Returns:
        (h, w) finite values, temperatures where they are known, and the photo, RGB.

    Raises:
        OSError, ValueError: a file is missing, damaged or not read; there is no photo.
    """
    if visible is None:
        thermal = open_camera_file(infrared)
        values, _ = infrared_values(thermal, infrared, None, None)
        return values, photo_8_bit(embedded_photo(thermal, infrared), MaeFuseImageProcessor(), None)
    known = open_infrared(infrared, infrared_unit)
    values = infrared_pixels(infrared) if known is None else infrared_values(known, infrared, None, None)[0]
    return values, photo_8_bit(visible, MaeFuseImageProcessor(), None)


def register_files(
    files: Sequence[FilePair],
    model: str = "similarity",
    search: SearchRange | None = None,
    infrared_unit: str | None = None,
    progress: bool = False,
) -> Registration:
    """`maefuse_hf.registration.register_pairs` for files.

    Raises:
        OSError, ValueError: what `read_pair` and `register_pairs` raise.
    """
    pairs = [read_pair(infrared, visible, infrared_unit) for infrared, visible in files]
    return register_pairs([(values, luminance(photo)) for values, photo in pairs], model, search, progress)


def luminance(photo: Image.Image) -> np.ndarray:
    """(H, W) of 8 bits."""
    return np.asarray(photo.convert("L"))
