# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""The header segments of a JPEG file, in which cameras keep what is more than the image shown."""

import struct
from dataclasses import dataclass

from PIL import Image

START = b"\xff\xd8"
APP1, APP3 = 0xE1, 0xE3
END_OF_HEADER = {0xD9, 0xDA}
# Start of frame: 0xC0 to 0xCF but for the tables 0xC4, 0xC8 and 0xCC.
FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
EXIF = b"Exif\0\0"
MAKE, MODEL = 271, 272


@dataclass(frozen=True)
class JpegHeader:
    """Segments before the image data.

    Attributes:
        segments: (marker, content) in the file's order.
        complete: whether the header ends where image data begin; else the file was cut off.
    """

    segments: list[tuple[int, bytes]]
    complete: bool

    def contents(self, marker: int) -> list[bytes]:
        """What all segments of one kind hold."""
        return [content for kind, content in self.segments if kind == marker]

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) of the image shown."""
        for kind, content in self.segments:
            if kind in FRAMES and len(content) >= 5:
                height, width = struct.unpack(">HH", content[1:5])
                return height, width
        return None

    @property
    def camera(self) -> tuple[str, str]:
        """EXIF's make and model of the camera, empty where there are none."""
        for content in self.contents(APP1):
            if content.startswith(EXIF):
                exif = Image.Exif()
                try:
                    exif.load(content)
                    make, model = (" ".join(str(exif.get(tag, "")).split()).strip("\0 *") for tag in (MAKE, MODEL))
                # Damage makes Pillow raise anything, and costs the name alone.
                except Exception:
                    return "", ""
                return make, model
        return "", ""


def read_jpeg_header(content: bytes) -> JpegHeader | None:
    """The header segments of a JPEG file, as many as there are; None if it is no JPEG."""
    if not content.startswith(START):
        return None
    segments: list[tuple[int, bytes]] = []
    place = len(START)
    while place + 2 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if marker in END_OF_HEADER:
            return JpegHeader(segments, complete=True)
        if marker == 0xFF:  # fill byte
            place += 1
            continue
        length = int.from_bytes(content[place + 2 : place + 4], "big")
        end = place + 2 + length
        if length < 2 or end > len(content):
            break
        segments.append((marker, content[place + 4 : end]))
        place = end
    return JpegHeader(segments, complete=False)
