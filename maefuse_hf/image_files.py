# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Image files of users: which formats are read and written, and what becomes of damaged files and of misread ones.

Pillow chooses its reader by a file's content. Some readers start other programs (EPS: Ghostscript) and many raise
whatever a damaged file makes them raise, so only the formats named here are read, and their errors become our own.
"""

import io
import logging
import os
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, SAMPLEFORMAT

from .whole_files import written_beside

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What is read and written, by Pillow's names."""

FORMATS_TEXT = "PNG, TIFF, JPEG, WebP, BMP, PPM/PGM or GIF"
LARGEST_8_BIT = 255
SIGNED, UNSIGNED = 2, 1
SRGB: Literal["sRGB"] = "sRGB"

logger = logging.getLogger(__name__)


def image_suffixes() -> set[str]:
    """The suffixes of the formats that are read and written, in lower case, with the dot."""
    return {suffix for suffix, kind in Image.registered_extensions().items() if kind in FORMATS}


def write_image(image: Image.Image, path: Path, **options: Any) -> None:
    """Write an image in the format of its suffix, `options` as in Pillow's `save`.

    It is written beside and then renamed, so that under its name there is the whole image or what was there before.

    Raises:
        OSError: it cannot be written.
    """
    with written_beside(path) as beside, beside.open("wb") as file:
        image.save(file, Image.registered_extensions()[path.suffix.lower()], **options)


def open_image(file: BinaryIO, name: str) -> Image.Image:
    """An image file of one of `FORMATS`, its header read and its pixels not yet; `load_upright` reads them.

    Further pages or frames are not used, which is said in the log.

    Raises:
        OSError: it is none of `FORMATS`, or damaged; the message begins with `name`.
        ValueError: see `refuse_misread`.
    """
    image = read_header(file, name)
    try:
        frames = getattr(image, "n_frames", 1)
    except Exception as error:
        raise unreadable(name, error) from error
    refuse_misread(image, name)
    if frames > 1:
        logger.warning("%s holds %d pages or frames; only the first is used.", name, frames)
    return image


def read_header(file: BinaryIO, name: str) -> Image.Image:
    """What `open_image` returns, of a file whose pixels may be of any kind; an `OSError` as there."""
    # A damaged file makes Pillow's readers raise anything: IndexError, AssertionError, struct.error, zlib.error, ...
    try:
        return Image.open(file, formats=FORMATS)
    except Image.UnidentifiedImageError as error:
        raise OSError(
            f"{name}: cannot be read (it is no image of a known format, or its beginning is damaged). Give "
            f"{FORMATS_TEXT}."
        ) from error
    except Exception as error:
        raise unreadable(name, error) from error


def load_upright(image: Image.Image, name: str) -> Image.Image:
    """All pixels of an image, upright by its EXIF orientation; an `OSError` that begins with `name` if damaged."""
    try:
        image.load()
        # without an orientation it would be copied
        return ImageOps.exif_transpose(image) if image.getexif().get(ExifTags.Base.Orientation, 1) != 1 else image
    except Exception as error:
        raise unreadable(name, error) from error


def load_as_stored(image: Image.Image, name: str) -> None:
    """Read all pixels of an image, whatever its EXIF orientation; an `OSError` that begins with `name` if damaged."""
    try:
        image.load()
    except Exception as error:
        raise unreadable(name, error) from error


def decode(image: str | os.PathLike[str] | Image.Image, name: str) -> np.ndarray:
    """A file or PIL image as (H, W) or (H, W, 3): wholly read, upright by its EXIF orientation, no alpha.

    Raises:
        OSError: it is missing, damaged, or of a format that is not read.
        ValueError: see `refuse_misread`.
    """
    if isinstance(image, Image.Image):
        refuse_misread(image, name)
        return pixels_of(image, name)
    # Opened by name, Pillow maps an uncompressed TIFF into memory and scrambles one that lies on its side.
    with opened_file(image, name) as file, open_image(file, name) as source:
        return pixels_of(source, name)


def opened_file(path: str | os.PathLike[str], name: str) -> BinaryIO:
    """A file to read; an `OSError` that begins with `name` where there is none."""
    try:
        return Path(path).open("rb")
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{name}: there is no such file. Check the path.") from error
    except (OSError, ValueError) as error:
        raise unreadable(name, error) from error


def pixels_of(image: Image.Image, name: str) -> np.ndarray:
    """What `decode` returns, of an opened image."""
    # Pillow holds 32-bit integers as signed ones, whatever the file says.
    unsigned = tiff_field(image, BITSPERSAMPLE) == (32,) and tiff_field(image, SAMPLEFORMAT) == (UNSIGNED,)
    upright = load_upright(image, name)
    # Pillow's `convert` would clip what is deeper than 8 bits.
    if upright.mode in ("L", "I", "F") or upright.mode.startswith("I;16"):
        pixels = np.asarray(upright)
        return pixels.view(np.uint32) if unsigned and pixels.dtype == np.int32 else pixels
    return np.asarray(upright.convert("L") if upright.mode in ("1", "LA") else as_srgb(upright, name))


def as_srgb(image: Image.Image, name: str) -> Image.Image:
    """An image of RGB, of a palette or of CMYK as RGB, its colours brought from its ICC profile to sRGB.

    Without a profile RGB counts as sRGB. A profile that cannot be used is passed over, which the log says.
    """
    profile = image.info.get("icc_profile")
    if image.mode not in ("RGB", "CMYK"):
        # palettes and alpha have the profile of RGB
        image = image.convert("RGB")
    if not profile:
        return image if image.mode == "RGB" else image.convert("RGB")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if image.mode == "RGB" and ImageCms.getProfileDescription(source).startswith(SRGB):
            return image
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile(SRGB), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError) as error:
        logger.warning("%s: its ICC profile cannot be used (%s); its colours are taken as sRGB.", name, error)
        return image.convert("RGB")
    assert converted is not None  # only None where the image itself is changed
    del converted.info["icc_profile"]
    return converted


def refuse_misread(image: Image.Image, name: str) -> None:
    """Raise a `ValueError` for files whose pixels Pillow changes without a word.

    These are colour or grey with alpha of more than 8 bits, which it cuts to 8, signed 8 bits, which it takes as
    unsigned, and TIFF files of more than 8 bits in which 0 is white, which it does not invert.
    """
    bits = tiff_field(image, BITSPERSAMPLE)
    deep = max(bits, default=0) > LARGEST_8_BIT.bit_length()
    if (deep and len(bits) > 1) or is_cut_to_8_bits(image):
        raise ValueError(
            f"{name}: it holds colours or alpha of more than 8 bits a channel, of which only 8 would be read. Save it "
            "as grey of 16 bits, or as colour of 8."
        )
    if bits == (8,) and tiff_field(image, SAMPLEFORMAT) == (SIGNED,):
        raise ValueError(f"{name}: it holds signed numbers of 8 bits. Save it with numbers from 0 to 255.")
    if deep and tiff_field(image, PHOTOMETRIC_INTERPRETATION) == (0,):
        raise ValueError(
            f"{name}: it says that 0 is white (WhiteIsZero), at more than 8 bits. Save it with 0 as black "
            "(BlackIsZero)."
        )


def is_cut_to_8_bits(image: Image.Image) -> bool:
    """Whether the pixels of a PNG or PPM file, not yet read, are deeper than the image that they are read into."""
    if image.mode.startswith(("I", "F")):
        return False
    for tile in getattr(image, "tile", ()):
        raw = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        if image.format == "PNG" and ";16" in str(raw[0]):
            return True
        if image.format == "PPM" and isinstance(raw[-1], int) and raw[-1] > LARGEST_8_BIT:
            return True
    return False


def tiff_field(image: Image.Image, tag: int) -> tuple[int, ...]:
    """The numbers of a TIFF file's field; none if there is no such field, or it is another kind of file."""
    value = getattr(image, "tag_v2", {}).get(tag, ()) if image.format == "TIFF" else ()
    return value if isinstance(value, tuple) else (value,)


def tiff_text(image: Image.Image, tag: int, name: str) -> str:
    """The text of a TIFF file's field; empty if there is none. An `OSError` that begins with `name` if damaged."""
    try:
        return str(getattr(image, "tag_v2", {}).get(tag, ""))
    except Exception as error:
        raise unreadable(name, error) from error


def lies_on_its_side(image: Image.Image, name: str) -> bool:
    """Whether width and height change places when an image is turned upright by its EXIF orientation."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation) in range(5, 9)
    except Exception as error:
        raise unreadable(name, error) from error


def unreadable(name: str, error: Exception) -> OSError:
    """The error for a damaged file."""
    # a sentence of another error's message that names a file would name it twice
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return OSError(
        f"{name}: cannot be read ({reason.splitlines()[0]}). Copy or export the whole image again, as PNG, TIFF or "
        "JPEG."
    )
