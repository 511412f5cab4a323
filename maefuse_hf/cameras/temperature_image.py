# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Images whose pixels are temperatures: read in a given unit, and written as float32 °C."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, TiffImagePlugin

from ..image_files import decode, opened_file, read_header, tiff_text, write_image
from .camera_pair import CELSIUS_0, CameraPair

UNITS: Mapping[str, tuple[float, float]] = {
    "celsius": (1, 0),
    "kelvin": (1, -CELSIUS_0),
    "decikelvin": (0.1, -CELSIUS_0),
    "centikelvin": (0.01, -CELSIUS_0),
}
"""Name to (factor, summand): °C = factor × pixel + summand."""

DESCRIPTION = 270
IN_CELSIUS = "temperature in degrees Celsius"
TIFF_SUFFIXES = (".tif", ".tiff")


def open_temperature_image(path: str | os.PathLike[str], unit: str | None = None) -> CameraPair:
    """Read a TIFF or PNG of temperatures, 16-bit integers or floating point.

    Args:
        unit: one of `UNITS`; without one, as the file says: °C if `write_temperature_map` wrote it.

    Raises:
        OSError: missing or damaged.
        ValueError: unknown unit, several channels, 8 bits, or temperatures below absolute zero.
    """
    if unit is None and says_celsius(path):
        unit = "celsius"
    if unit is None or unit not in UNITS:
        raise ValueError(f"{path}: the unit is {unit!r}; give one of {', '.join(UNITS)}.")
    pixels = decode(path, str(path))
    if pixels.ndim != 2 or pixels.dtype == np.uint8:
        channels = 1 if pixels.ndim == 2 else pixels.shape[2]
        raise ValueError(
            f"{path}: {channels} channel(s) of {pixels.dtype} are no temperatures. Give a TIFF or PNG of 16 bits, or a "
            "TIFF in floating point, without a palette of colours."
        )
    factor, summand = UNITS[unit]
    temperatures = (pixels * factor + summand).astype(np.float32)
    if np.nanmin(temperatures) < -CELSIUS_0 - 0.01:
        raise ValueError(
            f"{path}: in {unit} the coldest pixel would be {np.nanmin(temperatures):.1f} °C, below absolute zero. "
            f"Pixels run from {np.nanmin(pixels):g} to {np.nanmax(pixels):g}; give another unit."
        )
    return CameraPair(f"image in {unit}", pixels, temperatures)


def says_celsius(path: str | os.PathLike[str]) -> bool:
    """Whether a TIFF says that its pixels are °C."""
    if Path(path).suffix.lower() not in TIFF_SUFFIXES:
        return False
    try:
        with opened_file(path, str(path)) as file, read_header(file, str(path)) as image:
            return tiff_text(image, DESCRIPTION, str(path)).startswith(IN_CELSIUS)
    # what it is, is said where its pixels are read
    except OSError:
        return False


def require_tiff_suffix(path: str | os.PathLike[str]) -> None:
    """Raise a `ValueError` unless the file is named as a TIFF."""
    if Path(path).suffix.lower() not in TIFF_SUFFIXES:
        raise ValueError(f"{path}: temperatures are kept as TIFF; name the file like temperatures.tiff.")


def write_temperature_map(path: str | os.PathLike[str], temperatures: np.ndarray) -> None:
    """Write (h, w) °C as a float32 TIFF that says its unit, which `open_infrared` reads back without being told.

    Raises:
        ValueError: no suffix of a TIFF.
        OSError: it cannot be written.
    """
    require_tiff_suffix(path)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[DESCRIPTION] = IN_CELSIUS
    write_image(Image.fromarray(np.asarray(temperatures, dtype=np.float32)), Path(path), tiffinfo=tags)
