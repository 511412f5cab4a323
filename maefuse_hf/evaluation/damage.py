# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Named damages of a pair, each in three strengths: what cameras, weather and files do to one of the two images.

A seed gives the same pixels on any machine: random numbers are the raw output of PCG64, and pixels are computed by
additions, multiplications, divisions and square roots alone, which every machine rounds alike. Resizing and JPEG are
Pillow's, which works in whole numbers.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from PIL import Image

INFRARED, VISIBLE = "infrared", "visible"
STRENGTHS = (1, 2, 3)
"""Weak, middle, strong."""

BLACK, WHITE = 0, 255


class Pair(NamedTuple):
    """Infrared and visible of one scene, uint8: `(H, W)` luminance or `(H, W, 3)` RGB each, of one size."""

    infrared: np.ndarray
    visible: np.ndarray


class Random:
    """Random numbers from the raw 64-bit output of PCG64, which NumPy keeps as it is for good."""

    def __init__(self, seed: int, kind: str) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence([seed, crc32(kind.encode())]))

    def uniform(self, *shape: int) -> np.ndarray:
        """float64 in [0, 1), 53 bits."""
        return (self._bits.random_raw(shape) >> np.uint64(11)) / float(2**53)

    def below(self, end: int, *shape: int) -> np.ndarray:
        """int64 in 0…end−1."""
        return (self.uniform(*shape) * end).astype(np.int64)

    def normal(self, *shape: int) -> np.ndarray:
        """float64 of mean 0 and deviation 1: the sum of twelve uniform 16-bit numbers (Irwin and Hall), within ±6."""
        total = np.zeros(shape, dtype=np.int64)
        for _ in range(3):
            raw = self._bits.random_raw(shape)
            for shift in (0, 16, 32, 48):
                total += ((raw >> np.uint64(shift)) & np.uint64(0xFFFF)).astype(np.int64)
        return (total + 6) / 2**16 - 6


@dataclass(frozen=True)
class Damage:
    """One kind of damage.

    `apply(image, amount, random)` takes and gives `(H, W, C)` uint8, with C 1 for a grey image; `amounts` are the
    three strengths in the unit that `what` names; `hits` is "infrared" or "visible".
    """

    hits: str
    what: str
    amounts: tuple[float, float, float]
    apply: Callable[[np.ndarray, Any, Random], np.ndarray]


def to_levels(values: np.ndarray) -> np.ndarray:
    """Rounded to whole grey levels, halves to even, and clipped: uint8."""
    return np.rint(values).clip(BLACK, WHITE).astype(np.uint8)


def noise(image: np.ndarray, deviation: float, random: Random) -> np.ndarray:
    """Independent noise in each pixel and channel."""
    return to_levels(image + deviation * random.normal(*image.shape))


def grey_noise(image: np.ndarray, deviation: float, random: Random) -> np.ndarray:
    """Independent noise in each pixel, the same in all channels."""
    return to_levels(image + deviation * random.normal(*image.shape[:2], 1))


def stripes(image: np.ndarray, deviation: float, random: Random) -> np.ndarray:
    """A column's amplifier is off by as much in all its pixels, and each row's by a quarter of that."""
    height, width, _ = image.shape
    columns, rows = random.normal(1, width, 1), random.normal(height, 1, 1)
    return to_levels(image + deviation * columns + deviation / 4 * rows)


def coarse(image: np.ndarray, factor: int, random: Random) -> np.ndarray:
    """A sensor with `factor` times fewer pixels a side: means of blocks, enlarged bicubically."""
    height, width, _ = image.shape
    return each_channel(image, lambda plane: plane.reduce(factor).resize((width, height), Image.Resampling.BICUBIC))


def partial(image: np.ndarray, share: float, random: Random) -> np.ndarray:
    """Only a window, `share` of each side, is seen, at a random place; black around it."""
    height, width, _ = image.shape
    rows, columns = round(share * height), round(share * width)
    top, left = random.below(height - rows + 1).item(), random.below(width - columns + 1).item()
    seen = np.full_like(image, BLACK)
    seen[top : top + rows, left : left + columns] = image[top : top + rows, left : left + columns]
    return seen


def dead_pixels(image: np.ndarray, share: float, random: Random) -> np.ndarray:
    """Single pixels, a share of all, that are stuck at black or white."""
    height, width, _ = image.shape
    dead, white = random.uniform(height, width, 1) < share, random.uniform(height, width, 1) < 0.5
    return np.where(dead, np.where(white, WHITE, BLACK), image).astype(np.uint8)


def dead_blocks(image: np.ndarray, count: int, random: Random) -> np.ndarray:
    """Blocks, each a tenth of the short side, that are stuck at one grey level: black, white or any other."""
    height, width, _ = image.shape
    side = max(1, min(height, width) // 10)
    # as many are drawn for each strength, so that the weaker one's blocks are among the stronger one's
    drawn = random.uniform(64, 3)[: int(count)]
    broken = image.copy()
    for down, across, level in drawn:
        top, left = int(down * (height - side + 1)), int(across * (width - side + 1))
        broken[top : top + side, left : left + side] = to_levels(np.array(512 * level - 128))
    return broken


def blur(image: np.ndarray, radius: int, random: Random) -> np.ndarray:
    """Out of focus: three means over 2·radius + 1 pixels a side, nearly a Gaussian of deviation radius + 1/2."""
    blurred = image.astype(np.int64)
    for axis in (0, 1):
        for _ in range(3):
            blurred = running_sum(blurred, radius, axis)
    return to_levels(blurred / (2 * radius + 1) ** 6)


def running_sum(values: np.ndarray, radius: int, axis: int) -> np.ndarray:
    """Sums over 2·radius + 1 whole numbers along an axis, edges replicated; same shape."""
    padding = [(0, 0)] * values.ndim
    padding[axis] = (radius + 1, radius)
    sums = np.pad(values, padding, mode="edge").cumsum(axis=axis)
    length, span = values.shape[axis], 2 * radius + 1
    return sums.take(range(span, span + length), axis=axis) - sums.take(range(length), axis=axis)


def jpeg(image: np.ndarray, quality: int, random: Random) -> np.ndarray:
    """Saved as JPEG of this quality, colours at half the resolution."""
    file = io.BytesIO()
    as_image(image).save(file, format="JPEG", quality=int(quality), subsampling="4:2:0")
    return channels_last(np.asarray(Image.open(file, formats=["JPEG"])))


def off_register(image: np.ndarray, pixels: int, random: Random) -> np.ndarray:
    """Moved by so many pixels along rows, columns or both, in one of eight directions; edges replicated."""
    directions = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]
    down, across = directions[random.below(len(directions)).item()]
    height, width, _ = image.shape
    rows = (np.arange(height) - down * int(pixels)).clip(0, height - 1)
    columns = (np.arange(width) - across * int(pixels)).clip(0, width - 1)
    return image[rows[:, None], columns]


def black_hot(image: np.ndarray, contrast: float, random: Random) -> np.ndarray:
    """What is hot is dark: grey levels mirrored at the middle one, with so much of their contrast."""
    middle = WHITE / 2
    return to_levels(middle + contrast * (middle - image))


def low_light(image: np.ndarray, exposure: float, random: Random) -> np.ndarray:
    """So much of the light, and the noise of a sensor: shot noise, and two grey levels of read noise."""
    light = exposure * image.astype(np.float64)
    deviation = np.sqrt(light / 2 + 4)
    return to_levels(light + deviation * random.normal(*image.shape))


def glare(image: np.ndarray, brightness: float, random: Random) -> np.ndarray:
    """Two lamps into the lens: b / (1 + (r / r₀)²) of white light added, r₀ a twelfth of the width."""
    height, width, _ = image.shape
    light = np.zeros((height, width, 1))
    for down, across in random.uniform(2, 2):
        rows = (np.arange(height) - (0.25 + 0.5 * down) * height)[:, None, None]
        columns = (np.arange(width) - (0.1 + 0.8 * across) * width)[None, :, None]
        light += brightness / (1 + (rows * rows + columns * columns) / (width / 12 * (width / 12)))
    return to_levels(image + WHITE * light)


def over_exposure(image: np.ndarray, share: float, random: Random) -> np.ndarray:
    """Too long an exposure: so large a gain, 6 at most, that this share of the values is at white and clipped."""
    values = np.sort(image, axis=None)
    white = values[int((1 - share) * (values.size - 1))].item()
    return to_levels(image * min(6.0, WHITE / max(1, white)))


def haze(image: np.ndarray, opacity: float, random: Random) -> np.ndarray:
    """t·X + (1 − t)·220: a veil of this opacity at the top, where things are far, and a third of it at the bottom."""
    height = len(image)
    near = np.arange(height)[:, None, None] / max(1, height - 1)
    veil = opacity * (1 - near * 2 / 3)
    return to_levels((1 - veil) * image + veil * 220)


def smoke(image: np.ndarray, cover: float, random: Random) -> np.ndarray:
    """Drifting smoke or a bank of fog: grey, dense in some places and thin in others.

    A cloud c in 0…1 (four octaves) has the grey level 150 + 80 c and the opacity 2.5 (c − 1/2) + `cover`, between 0
    and 0.97.
    """
    height, width, _ = image.shape
    cloud, total = np.zeros((height, width, 1)), 0.0
    for octave in range(4):
        cells = 3 * 2**octave
        lattice = Image.fromarray(random.below(256, cells, cells).astype(np.uint8))
        weight = 0.5**octave
        cloud += weight * channels_last(np.asarray(lattice.resize((width, height), Image.Resampling.BICUBIC)))
        total += weight * WHITE
    cloud /= total
    opacity = (2.5 * (cloud - 0.5) + cover).clip(0, 0.97)
    return to_levels((1 - opacity) * image + opacity * (150 + 80 * cloud))


def channels_last(image: np.ndarray) -> np.ndarray:
    """`(H, W)` or `(H, W, C)` to `(H, W, C)`."""
    return image[..., None] if image.ndim == 2 else image


def as_image(image: np.ndarray) -> Image.Image:
    """`(H, W, C)` uint8 as a Pillow image."""
    return Image.fromarray(np.ascontiguousarray(image[..., 0] if image.shape[2] == 1 else image))


def each_channel(image: np.ndarray, change: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    """The channels of `(H, W, C)`, changed each for itself."""
    planes = [np.asarray(change(as_image(image[..., channel : channel + 1]))) for channel in range(image.shape[2])]
    return np.stack(planes, axis=-1)


DAMAGES: dict[str, Damage] = {
    "infrared-noise": Damage(INFRARED, "noise of the sensor, deviation in grey levels", (6, 12, 24), grey_noise),
    "infrared-stripes": Damage(INFRARED, "columns that are off, deviation in grey levels", (5, 10, 20), stripes),
    "infrared-coarse": Damage(INFRARED, "a sensor with so many times fewer pixels a side", (2, 4, 8), coarse),
    "infrared-partial": Damage(INFRARED, "a window is seen, share of each side", (0.85, 0.7, 0.5), partial),
    "dead-pixels": Damage(INFRARED, "pixels stuck at black or white, share of all", (0.002, 0.01, 0.05), dead_pixels),
    "dead-blocks": Damage(INFRARED, "blocks stuck at one grey level, their number", (4, 10, 24), dead_blocks),
    "infrared-blur": Damage(INFRARED, "out of focus, radius in pixels", (1, 3, 6), blur),
    "infrared-jpeg": Damage(INFRARED, "saved as JPEG, quality", (25, 12, 5), jpeg),
    "off-register": Damage(INFRARED, "moved against the visible image, pixels", (2, 4, 8), off_register),
    "black-hot": Damage(INFRARED, "grey levels mirrored, share of the contrast", (0.5, 0.75, 1.0), black_hot),
    "visible-noise": Damage(VISIBLE, "noise of the sensor, deviation in grey levels", (10, 20, 40), noise),
    "low-light": Damage(VISIBLE, "share of the light", (0.4, 0.2, 0.08), low_light),
    "glare": Damage(VISIBLE, "lamps into the lens, brightness as a share of white", (0.5, 1.0, 2.0), glare),
    "over-exposure": Damage(VISIBLE, "share of the values that are clipped at white", (0.2, 0.4, 0.7), over_exposure),
    "haze": Damage(VISIBLE, "opacity at the top of the image", (0.5, 0.7, 0.9), haze),
    "smoke": Damage(VISIBLE, "opacity where the cloud is of middle density", (0.15, 0.4, 0.7), smoke),
    "visible-blur": Damage(VISIBLE, "out of focus, radius in pixels", (1, 3, 6), blur),
    "visible-jpeg": Damage(VISIBLE, "saved as JPEG, quality", (25, 12, 5), jpeg),
}
"""All kinds by name."""


def damaged(pair: Pair, kind: str, strength: int, seed: int) -> Pair:
    """A pair with one of its images damaged.

    Args:
        pair: see `Pair`; it stays as it is.
        kind: a name in `DAMAGES`.
        strength: 1, 2 or 3.
        seed: 0 or more. The same seed puts the same noise, glare, smoke… into each strength.

    Returns:
        a pair of the same shapes; the image that is not hit is the same array.

    Raises:
        ValueError: an unknown kind or strength, or arrays that are not as `Pair` says.
    """
    damage = known_damage(kind)
    if strength not in STRENGTHS:
        raise ValueError(f"strength is {strength}; it must be one of {', '.join(map(str, STRENGTHS))}.")
    if seed < 0:
        raise ValueError(f"seed is {seed}; it must be 0 or more.")
    check_pair(pair)
    image = getattr(pair, damage.hits)
    hit = damage.apply(channels_last(image), damage.amounts[strength - 1], Random(seed, kind))
    return pair._replace(**{damage.hits: hit.reshape(image.shape)})


def known_damage(kind: str) -> Damage:
    """The damage of that name; a `ValueError` lists those there are."""
    if kind not in DAMAGES:
        raise ValueError(f"There is no damage {kind!r}; there are {', '.join(DAMAGES)}.")
    return DAMAGES[kind]


def kinds_that_hit(modality: str) -> Sequence[str]:
    """Names of the damages of "infrared" or "visible"."""
    return [kind for kind, damage in DAMAGES.items() if damage.hits == modality]


def check_pair(pair: Pair) -> None:
    """Raise a `ValueError` that says what came where a pair is not as `Pair` says."""
    for name, image in zip(Pair._fields, pair):
        is_array = isinstance(image, np.ndarray) and image.dtype == np.uint8
        if not is_array or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3) or 0 in image.shape:
            came = f"{image.dtype} of shape {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise ValueError(f"{name} must be a uint8 array (H, W) or (H, W, 3); got {came}.")
    if pair.infrared.shape[:2] != pair.visible.shape[:2]:
        raise ValueError(
            f"infrared is {pair.infrared.shape[:2]}, visible {pair.visible.shape[:2]}: resize or register them first."
        )
