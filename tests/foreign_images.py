"""Image files that Pillow does not write, made byte by byte."""

import struct
import zlib

import numpy as np

SHORT, LONG = 3, 4
SAMPLE_FORMATS = {"u": 1, "i": 2, "f": 3}


def tiff_bytes(pixels: np.ndarray, photometric: int = 1, planar: bool = False) -> bytes:
    """A TIFF file of (H, W) or (H, W, C) pixels of any dtype, uncompressed; `photometric` 0 is WhiteIsZero, 2 RGB."""
    height, width, channels = *pixels.shape[:2], pixels[0, 0].size
    little = pixels.reshape(height, width, channels).astype(pixels.dtype.newbyteorder("<"))
    strips = [little[..., k].tobytes() for k in range(channels)] if planar else [little.tobytes()]
    offsets = [8 + sum(map(len, strips[:k])) for k in range(len(strips))]
    fields = [
        (256, SHORT, [width]),
        (257, SHORT, [height]),
        (258, SHORT, [8 * pixels.itemsize] * channels),
        (259, SHORT, [1]),
        (262, SHORT, [photometric]),
        (273, LONG, offsets),
        (277, SHORT, [channels]),
        (278, SHORT, [height]),
        (279, LONG, list(map(len, strips))),
        (284, SHORT, [2 if planar else 1]),
        (339, SHORT, [SAMPLE_FORMATS[pixels.dtype.kind]] * channels),
    ]
    start = offsets[-1] + len(strips[-1])
    entries, values = b"", b""
    for tag, kind, numbers in fields:
        raw = struct.pack(f"<{len(numbers)}{'H' if kind == SHORT else 'I'}", *numbers)
        if len(raw) > 4:
            where = struct.pack("<I", start + 2 + 12 * len(fields) + 4 + len(values))
            values += raw
        else:
            where = raw.ljust(4, b"\0")
        entries += struct.pack("<HHI", tag, kind, len(numbers)) + where
    directory = struct.pack("<H", len(fields)) + entries + bytes(4) + values
    return b"II*\0" + struct.pack("<I", start) + b"".join(strips) + directory


def png_bytes(pixels: np.ndarray) -> bytes:
    """A PNG file of (H, W, C) uint16 pixels: C is 2 (grey and alpha), 3 (colour) or 4 (colour and alpha)."""
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    body = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def ppm_bytes(pixels: np.ndarray, white: int) -> bytes:
    """A binary PPM file of (H, W, 3) uint16 pixels up to `white`."""
    height, width, _ = pixels.shape
    return b"P6 %d %d %d\n" % (width, height, white) + pixels.astype(">u2").tobytes()
