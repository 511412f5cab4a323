# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Which reader a file needs, and what is said where none fits."""

import os

from ..image_files import opened_file
from .camera_pair import CameraPair
from .dji import MAKE as DJI
from .dji import has_dji_values, read_dji
from .flir import flir_pieces, read_flir
from .jpeg_segments import START, JpegHeader, read_jpeg_header
from .temperature_image import open_temperature_image, says_celsius

READABLE = "Radiometric JPEGs of FLIR, of DJI's XT cameras and of DJI's H20T are read"
HOW_ELSE = (
    "export temperatures from the maker's software as a TIFF and give it together with the photo: "
    "maefuse fuse thermal.tiff photo.jpg"
)


def open_camera_file(path: str | os.PathLike[str]) -> CameraPair:
    """Read a radiometric JPEG of a thermal camera.

    Returns:
        raw values, temperatures, photo and registration, as far as the file holds them.

    Raises:
        OSError: missing, truncated or damaged.
        ValueError: no thermal values in it; the message names the camera it seems to be from.
    """
    name = str(path)
    header = read_jpeg_header(read_file(path))
    if header is None:
        raise ValueError(f"{name}: no JPEG file. {READABLE}; of any other image, give infrared and photo: two files.")
    if (pair := read_thermal(header, name)) is not None:
        return pair
    raise (ValueError if header.complete else OSError)(f"{name}: {nothing_thermal(header)}")


def open_infrared(path: str | os.PathLike[str], unit: str | None = None) -> CameraPair | None:
    """Read an infrared image that knows more than grey values.

    Args:
        unit: of an image's pixels, one of `UNITS`; without one, only what the file itself says counts.

    Returns:
        a camera's file, or an image of temperatures; None for an image with pixels of no known unit.

    Raises:
        OSError: missing, truncated or damaged.
        ValueError: a unit for a file that has its own, or pixels that cannot be in that unit.
    """
    with opened_file(path, str(path)) as file:
        is_jpeg = file.read(len(START)) == START
    if is_jpeg:
        header = read_jpeg_header(read_file(path))
        pair = read_thermal(header, str(path)) if header else None
        if pair is not None and unit:
            raise ValueError(
                f"{path}: {pair.camera} wrote it, and it says itself what its values are; leave out the unit."
            )
        if pair is not None:
            return pair
    if unit or says_celsius(path):
        return open_temperature_image(path, unit)
    return None


def read_thermal(header: JpegHeader, name: str) -> CameraPair | None:
    """What the reader that fits makes of it; None if none fits."""
    if flir_pieces(header):
        return read_flir(header, name)
    if has_dji_values(header):
        return read_dji(header, name)
    return None


def nothing_thermal(header: JpegHeader) -> str:
    """Which camera a JPEG without thermal values seems to be from, and what would help."""
    make, model = header.camera
    camera = " ".join(part for part in (make, model) if part)
    if not header.complete:
        return (
            f"the file is truncated{f'; it seems to be from {camera}' if camera else ''}, and what is left holds no "
            "thermal values. Copy the original from the camera's card again."
        )
    if make.upper().startswith("FLIR") or make == DJI:
        return (
            f"it seems to be from {camera}, but holds no thermal values. It was saved without them, or an image editor "
            f"or messenger dropped them: copy the original from the camera's card. {READABLE}; of other models, "
            f"{HOW_ELSE}."
        )
    whose = f"it seems to be from {camera}" if camera else "it does not name its camera"
    return f"{whose}, and holds no thermal values that are known here. {READABLE}; else {HOW_ELSE}."


def read_file(path: str | os.PathLike[str]) -> bytes:
    """The whole file."""
    with opened_file(path, str(path)) as file:
        return file.read()
