# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Images next to each other under captions, to be looked at."""

from collections.abc import Mapping

from PIL import Image, ImageDraw, ImageFont

GAP = 8
SMALLEST_TEXT = 9
BACKGROUND, TEXT = "white", "black"


def side_by_side(images: Mapping[str, Image.Image]) -> Image.Image:
    """Put images in a row, each under its caption.

    Args:
        images: caption to image, any mode; the row is as high as the highest. Letters are made smaller, down to
            a legible size, until each caption fits over its image.

    Returns:
        an RGB image.

    Raises:
        ValueError: if there is no image.
    """
    if not images:
        raise ValueError("side_by_side needs at least one image.")
    height = max(image.height for image in images.values())
    size = max(12, height // 24)
    font = ImageFont.load_default(size=size)
    room = min(image.width / max(1, font.getlength(caption)) for caption, image in images.items())
    if room < 1:
        font = ImageFont.load_default(size=max(SMALLEST_TEXT, int(size * room)))
    caption_height = round(font.getbbox("".join(images))[3]) + GAP
    width = sum(image.width for image in images.values()) + GAP * (len(images) - 1)
    row = Image.new("RGB", (width, caption_height + height), BACKGROUND)
    draw, left = ImageDraw.Draw(row), 0
    for caption, image in images.items():
        draw.text((left + image.width // 2, GAP // 2), caption, fill=TEXT, font=font, anchor="ma")
        row.paste(image.convert("RGB"), (left, caption_height))
        left += image.width + GAP
    return row
