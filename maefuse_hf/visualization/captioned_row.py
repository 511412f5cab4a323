# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Pictures next to each other under captions, to be looked at."""

from collections.abc import Mapping

from PIL import Image, ImageDraw, ImageFont

GAP = 8
SMALLEST_TEXT = 9
BACKGROUND, TEXT = "white", "black"


def side_by_side(pictures: Mapping[str, Image.Image]) -> Image.Image:
    """Put pictures in a row, each under its caption.

    Args:
        pictures: caption to picture, any mode; the row is as high as the highest. Letters are made smaller, down to
            a legible size, until each caption fits over its picture.

    Returns:
        an RGB picture.

    Raises:
        ValueError: if there is no picture.
    """
    if not pictures:
        raise ValueError("side_by_side needs at least one picture.")
    height = max(picture.height for picture in pictures.values())
    size = max(12, height // 24)
    font = ImageFont.load_default(size=size)
    room = min(picture.width / max(1, font.getlength(caption)) for caption, picture in pictures.items())
    if room < 1:
        font = ImageFont.load_default(size=max(SMALLEST_TEXT, int(size * room)))
    caption_height = round(font.getbbox("".join(pictures))[3]) + GAP
    width = sum(picture.width for picture in pictures.values()) + GAP * (len(pictures) - 1)
    row = Image.new("RGB", (width, caption_height + height), BACKGROUND)
    draw, left = ImageDraw.Draw(row), 0
    for caption, picture in pictures.items():
        draw.text((left + picture.width // 2, GAP // 2), caption, fill=TEXT, font=font, anchor="ma")
        row.paste(picture.convert("RGB"), (left, caption_height))
        left += picture.width + GAP
    return row
