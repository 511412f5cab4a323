# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Radiometric JPEG of FLIR, which DJI's XT cameras write too.

The file that FLIR's software knows as FFF lies in APP1 segments in pieces: "FLIR\0", a byte, the piece's number, the
number of the last piece, content. It holds an index of records, 32 bytes each. Offsets as ExifTool documents its FLIR
tags.
"""

import io
import struct

import numpy as np
from PIL import Image

from ..image_files import load_as_stored, open_image
from .camera_pair import Box, CameraPair
from .jpeg_segments import APP1, JpegHeader
from .radiometry import Radiometry, raw_to_celsius

PIECE = b"FLIR\0"
RAW_DATA, EMBEDDED_IMAGE, CAMERA_INFO, PICTURE_IN_PICTURE = 0x01, 0x0E, 0x20, 0x2A
INDEX_ENTRY = 32
# Records of images begin with words: byte order, width, height, …
IMAGE_START = 32
PNG_START = b"\x89PNG"
# Place in the camera's record: float32 of the calibration and of the scene.
FIELDS = {
    "emissivity": 0x20,
    "distance": 0x24,
    "reflected": 0x28,
    "atmosphere": 0x2C,
    "window": 0x30,
    "window_transmission": 0x34,
    "humidity": 0x3C,
    "r1": 0x58,
    "b": 0x5C,
    "f": 0x60,
    "alpha1": 0x70,
    "alpha2": 0x74,
    "beta1": 0x78,
    "beta2": 0x7C,
    "x": 0x80,
    "r2": 0x30C,
}
PLANCK_O = 0x308


def flir_pieces(header: JpegHeader) -> list[bytes]:
    """The APP1 segments of FLIR."""
    return [content for content in header.contents(APP1) if content.startswith(PIECE) and len(content) >= 8]


def read_flir(header: JpegHeader, name: str) -> CameraPair:
    """The thermal values, photo and registration of a FLIR file.

    Args:
        header: with at least one of `flir_pieces`.
        name: of the file, for messages.

    Raises:
        OSError: pieces or records are missing or cut off.
    """
    camera = camera_name(header)
    records = read_records(joined(flir_pieces(header), name, camera), name, camera)
    if RAW_DATA not in records:
        raise OSError(
            f"{name}: {camera} wrote it, but the record of thermal values is missing. Copy the original file from the "
            "camera's card again; image editors and messengers drop such records."
        )
    raw = read_raw(records[RAW_DATA], name, camera)
    visible = read_photo(records[EMBEDDED_IMAGE], name, camera) if EMBEDDED_IMAGE in records else None
    radiometry = read_radiometry(records.get(CAMERA_INFO, b""))
    box = None
    if visible is not None and PICTURE_IN_PICTURE in records:
        box = read_box(records[PICTURE_IN_PICTURE], raw.shape, visible.size)
    if radiometry is None:
        note = (
            f"{camera} stored no calibration in this file. Use raw values, or export temperatures with FLIR's software."
        )
        return CameraPair(camera, raw, None, visible, box, note)
    return CameraPair(camera, raw, raw_to_celsius(raw, radiometry), visible, box)


def camera_name(header: JpegHeader) -> str:
    """Such as "FLIR E40" or "DJI FLIR"."""
    make, model = header.camera
    if model and make and not model.upper().startswith(make.split()[0].upper()):
        return f"{make} {model}"
    return model or make or "a FLIR camera"


def joined(pieces: list[bytes], name: str, camera: str) -> bytes:
    """The pieces' content in order; OSError if one is missing."""
    by_number = {piece[6]: piece[8:] for piece in pieces}
    last = pieces[0][7]
    if missing := [number for number in range(last + 1) if number not in by_number]:
        raise OSError(
            f"{name}: {camera} wrote {last + 1} pieces of thermal data, {len(missing)} are missing (the first is "
            f"number {missing[0] + 1}). The file is truncated or was edited; copy the original from the card again."
        )
    return b"".join(by_number[number] for number in range(last + 1))


def read_records(fff: bytes, name: str, camera: str) -> dict[int, bytes]:
    """Records by type, the first of each; OSError if index or a record is cut off."""
    damaged = f"{name}: the thermal data of {camera} are damaged. Copy the original file from the camera's card again."
    if len(fff) < 0x20 or not fff.startswith((b"FFF\0", b"AFF\0")):
        raise OSError(damaged)
    # The version, about 100, tells the byte order of the index.
    order = "<" if struct.unpack("<I", fff[0x14:0x18])[0] < 0x10000 else ">"
    start, count = struct.unpack(f"{order}II", fff[0x18:0x20])
    if start + count * INDEX_ENTRY > len(fff):
        raise OSError(damaged)
    records: dict[int, bytes] = {}
    for number in range(count):
        entry = fff[start + number * INDEX_ENTRY : start + (number + 1) * INDEX_ENTRY]
        (kind,) = struct.unpack(f"{order}H", entry[:2])
        offset, length = struct.unpack(f"{order}II", entry[12:20])
        if offset + length > len(fff):
            raise OSError(damaged)
        if kind and length:
            records.setdefault(kind, fff[offset : offset + length])
    return records


def byte_order(record: bytes) -> str:
    """Of a record: its first word is a small number in the right order."""
    return "<" if record[0] else ">"


def image_size(record: bytes) -> tuple[int, int]:
    """(height, width) of an image's record."""
    width, height = struct.unpack(f"{byte_order(record)}HH", record[2:6])
    return height, width


def read_raw(record: bytes, name: str, camera: str) -> np.ndarray:
    """(h, w) uint16, from a PNG or from plain words; OSError if there are not as many as the record says."""
    damaged = OSError(
        f"{name}: the thermal values of {camera} are damaged. Copy the original file from the camera's card again."
    )
    if len(record) <= IMAGE_START:
        raise damaged
    height, width = image_size(record)
    content = record[IMAGE_START:]
    if content.startswith(PNG_START):
        try:
            with open_image(io.BytesIO(content), name) as image:
                load_as_stored(image, name)
                words = np.asarray(image)
        except (OSError, ValueError) as error:
            raise damaged from error
        if words.ndim != 2 or image.mode != "I;16" or words.shape != (height, width):
            raise damaged
        # FLIR puts little-endian words into a format that has big-endian ones.
        return words.astype(np.uint16).byteswap()
    if 0 in (height, width) or len(content) < 2 * height * width:
        raise damaged
    order = byte_order(record)
    words = np.frombuffer(content, dtype=f"{order}u2", count=height * width)
    return words.reshape(height, width).astype(np.uint16)


def read_photo(record: bytes, name: str, camera: str) -> Image.Image:
    """The embedded photo as RGB; a PNG holds Y, Cb and Cr in its channels. OSError if it cannot be read."""
    try:
        with open_image(io.BytesIO(record[IMAGE_START:]), name) as image:
            # where infrared lies is told of the photo as it is stored
            load_as_stored(image, name)
            if image.format == "PNG" and image.mode == "RGB":
                return Image.merge("YCbCr", image.split()).convert("RGB")
            return image.convert("RGB")
    except (OSError, ValueError) as error:
        raise OSError(
            f"{name}: the photo that {camera} embedded is damaged. Copy the original file from the camera's card again."
        ) from error


def read_radiometry(record: bytes) -> Radiometry | None:
    """The camera's constants and the scene's parameters; None if they are missing or make no sense."""
    if len(record) < FIELDS["r2"] + 4:
        return None
    order = byte_order(record)
    values = {field: struct.unpack(f"{order}f", record[place : place + 4])[0] for field, place in FIELDS.items()}
    (offset,) = struct.unpack(f"{order}i", record[PLANCK_O : PLANCK_O + 4])
    if values["humidity"] > 2:  # some cameras store per cent
        values["humidity"] /= 100
    radiometry = Radiometry(o=offset, **values)
    return radiometry if radiometry.is_usable() else None


def read_box(record: bytes, infrared_shape: tuple[int, ...], photo_size: tuple[int, int]) -> Box | None:
    """Where infrared lies in the photo.

    The record tells Real2IR, how many times the photo's width is infrared's, and how many of the photo's pixels
    infrared's centre lies right of and below the photo's.

    Args:
        infrared_shape: (h, w).
        photo_size: (width, height).
    """
    if len(record) < 8:
        return None
    (real_to_infrared,) = struct.unpack("<f", record[:4])
    right, down = struct.unpack("<hh", record[4:8])
    if not np.isfinite(real_to_infrared) or real_to_infrared <= 0:
        return None
    height, width = infrared_shape
    box_width = photo_size[0] / real_to_infrared
    box_height = box_width * height / width
    left, top = (photo_size[0] - box_width) / 2 + right, (photo_size[1] - box_height) / 2 + down
    return left, top, left + box_width, top + box_height
