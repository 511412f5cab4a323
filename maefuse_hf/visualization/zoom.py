# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""A patch of each image of a row, enlarged under it, so that small differences can be seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

MAGNIFICATION = 4
FRAME, FRAME_SHARE = "red", 1 / 200
GAP = 8
BACKGROUND = "white"

CHOICE_OF_PATCH = "the patch is where the strength of the gradient differs most between the images"


@dataclass(frozen=True)
class Patch:
    """A rectangle of pixels."""

    left: int
    top: int
    width: int
    height: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom, as Pillow wants them."""
        return self.left, self.top, self.left + self.width, self.top + self.height


def differing_patch(images: Sequence[Image.Image]) -> Patch:
    """The patch where the images differ most in detail: edges and texture that some have and others lack.

    Of each pixel, the largest minus the smallest length of the luminance gradient (central differences) among the
    images; the patch with the largest sum, the uppermost and leftmost of equal ones. A difference in brightness alone
    does not count, or an even sky would be chosen.

    Args:
        images: of one size, any mode of 8 bits.

    Returns:
        a patch of the images' proportions, its sides 1/4 of theirs.
    """
    width, height = images[0].size
    patch_width, patch_height = max(1, width // MAGNIFICATION), max(1, height // MAGNIFICATION)
    strengths = np.stack([gradient_strength(np.asarray(image.convert("L"), float)) for image in images])
    sums = np.pad(np.ptp(strengths, axis=0).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    below, above = sums[patch_height:], sums[:-patch_height]
    inside = (below - above)[:, patch_width:] - (below - above)[:, :-patch_width]
    # running sums leave rounding errors, which must not decide between equal patches
    top, left = np.unravel_index(inside.round(6).argmax(), inside.shape)
    return Patch(int(left), int(top), patch_width, patch_height)


def gradient_strength(luminance: np.ndarray) -> np.ndarray:
    """Length of the gradient at each pixel, (H, W); 0 along a side of one pixel."""
    squares = [np.gradient(luminance, axis=axis) ** 2 for axis in (0, 1) if luminance.shape[axis] > 1]
    return np.sqrt(sum(squares, np.zeros_like(luminance)))


def patch_at(corner_and_width: tuple[int, int, int], size: tuple[int, int]) -> Patch:
    """The patch of that left, top and width with the proportions of images of `size`, (width, height).

    Raises:
        ValueError: it does not lie within the images.
    """
    left, top, width = corner_and_width
    patch = Patch(left, top, width, round(width * size[1] / size[0]))
    right, bottom = patch.box[2:]
    if min(left, top) < 0 or min(patch.width, patch.height) < 1 or right > size[0] or bottom > size[1]:
        raise ValueError(
            f"The patch from {left},{top} to {right},{bottom} does not lie within images of {size[0]}×{size[1]} px. "
            "Give its left, its top and its width."
        )
    return patch


def with_patch(images: Mapping[str, Image.Image], patch: Patch) -> dict[str, Image.Image]:
    """Each image with a frame around the patch, and below it the patch enlarged to the image's size.

    Args:
        images: caption to image of one size, any mode of 8 bits. Pixels are repeated, not blended.

    Returns:
        RGB images of the same width under the same captions.
    """
    return {caption: stack(image.convert("RGB"), patch) for caption, image in images.items()}


def stack(image: Image.Image, patch: Patch) -> Image.Image:
    """One RGB image over its enlarged patch."""
    stacked = Image.new("RGB", (image.width, 2 * image.height + GAP), BACKGROUND)
    stacked.paste(image)
    thickness = max(1, round(max(image.size) * FRAME_SHARE))
    left, top, right, bottom = patch.box
    # around the patch, but within the image where the patch touches its border
    around = (
        max(0, left - thickness),
        max(0, top - thickness),
        min(image.width, right + thickness) - 1,
        min(image.height, bottom + thickness) - 1,
    )
    ImageDraw.Draw(stacked).rectangle(around, outline=FRAME, width=thickness)
    enlarged = image.crop(patch.box).resize(image.size, Image.Resampling.NEAREST)
    stacked.paste(enlarged, (0, image.height + GAP))
    return stacked
