"""Random damages of training crops: what cameras and weather do to one of the two images.

The kinds are mostly those of `maefuse evaluate --damage`, with other parameters: strengths and shapes are drawn anew
for each crop. JPEG, images off register and inverted infrared are never trained on.

Each damage is `(channel, random) -> channel` on `(H, W)` luminance in [0, 1]; what comes back may leave [0, 1]:
`damaged_crop` and `damaged_image` clip it, and round it to 8 bits, as a camera does.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from maefuse_hf.colour import WHITE
from maefuse_hf.refinement import gaussian_blur

Damage = Callable[[Tensor, torch.Generator], Tensor]

INFRARED, VISIBLE = 0, 1

SECOND_DAMAGE_PROBABILITY = 0.3


def uniform(low: float, high: float, random: torch.Generator) -> float:
    """A number drawn evenly."""
    return low + (high - low) * torch.rand((), generator=random).item()


def log_uniform(low: float, high: float, random: torch.Generator) -> float:
    """A positive number whose logarithm is drawn evenly."""
    return math.exp(uniform(math.log(low), math.log(high), random))


def whole(low: int, high: int, random: torch.Generator) -> int:
    """A whole number from `low` to `high`, both included."""
    return int(torch.randint(low, high + 1, (), generator=random))


def noise(channel: Tensor, random: torch.Generator) -> Tensor:
    """Independent noise in each pixel."""
    return channel + log_uniform(0.012, 0.2, random) * torch.randn(channel.shape, generator=random)


def stripes(channel: Tensor, random: torch.Generator) -> Tensor:
    """Columns, or rows, that are off, and lines across them that are less so."""
    height, width = channel.shape
    strength, across = log_uniform(0.01, 0.12, random), uniform(0, 1, random)
    columns = torch.randn(1, width, generator=random)
    rows = torch.randn(height, 1, generator=random)
    if torch.rand((), generator=random) < 0.3:
        across, strength = 1.0, strength * across
    return channel + strength * columns + strength * across * rows


def coarse(channel: Tensor, random: torch.Generator) -> Tensor:
    """A sensor with fewer pixels a side, enlarged in one of three ways."""
    height, width = channel.shape
    factor = uniform(1.5, 9, random)
    small = nn.functional.interpolate(
        channel[None, None], (max(2, round(height / factor)), max(2, round(width / factor))), mode="area"
    )
    mode = ("bilinear", "bicubic", "nearest")[whole(0, 2, random)]
    return nn.functional.interpolate(small, (height, width), mode=mode)[0, 0]


def partial(channel: Tensor, random: torch.Generator) -> Tensor:
    """Nothing is seen on one side of a straight border, or of two."""
    level = 0.0 if torch.rand((), generator=random) < 0.6 else uniform(0, 1, random)
    seen = torch.ones_like(channel, dtype=torch.bool)
    for _ in range(whole(1, 2, random)):
        axis = whole(0, 1, random)
        places = torch.arange(channel.shape[axis]).view(-1, 1) if axis == 0 else torch.arange(channel.shape[axis])
        inside = places < uniform(-0.2, 0.9, random) * channel.shape[axis]
        seen = seen & (inside.flip(axis if axis == 0 else -1) if whole(0, 1, random) else inside)
    return torch.where(seen, channel, torch.full_like(channel, level))


def dead_pixels(channel: Tensor, random: torch.Generator) -> Tensor:
    """Single pixels that are stuck at black, white, or any level."""
    dead = torch.rand(channel.shape, generator=random) < log_uniform(0.001, 0.08, random)
    levels = torch.rand(channel.shape, generator=random)
    if torch.rand((), generator=random) < 0.7:
        levels = levels.round()
    return torch.where(dead, levels, channel)


def dead_blocks(channel: Tensor, random: torch.Generator) -> Tensor:
    """Rectangles that are stuck at one level each."""
    height, width = channel.shape
    broken = channel.clone()
    for _ in range(whole(1, 6, random)):
        rows, columns = (round(log_uniform(4, 70, random)) for _ in range(2))
        top, left = whole(-rows // 2, height - 1, random), whole(-columns // 2, width - 1, random)
        level = min(1.0, max(0.0, uniform(-0.5, 1.5, random)))
        broken[max(0, top) : max(0, top + rows), max(0, left) : max(0, left + columns)] = level
    return broken


def blur(channel: Tensor, random: torch.Generator) -> Tensor:
    """Out of focus."""
    return gaussian_blur(channel[None, None], log_uniform(0.6, 6, random))[0, 0]


def low_light(channel: Tensor, random: torch.Generator) -> Tensor:
    """Little of the light, shot noise and read noise."""
    light = channel * log_uniform(0.06, 0.6, random)
    deviation = (light * uniform(0, 0.004, random) + uniform(0.002, 0.015, random) ** 2).sqrt()
    return light + deviation * torch.randn(channel.shape, generator=random)


def glare(channel: Tensor, random: torch.Generator) -> Tensor:
    """One to three lamps into the lens, in or beside the crop, with a narrow or a wide fall-off."""
    height, width = channel.shape
    light = torch.zeros_like(channel)
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None]
    for _ in range(whole(1, 3, random)):
        down, across = uniform(-0.5, 1.5, random) * height, uniform(-0.5, 1.5, random) * width
        distance = ((rows - down) ** 2 + (columns - across) ** 2) / log_uniform(6, 120, random) ** 2
        shape = 1 / (1 + distance) if torch.rand((), generator=random) < 0.5 else torch.exp(-distance / 2)
        light += uniform(0.3, 2.5, random) * shape
    return channel + light


def over_exposure(channel: Tensor, random: torch.Generator) -> Tensor:
    """Too long an exposure: what is bright is clipped."""
    return channel * log_uniform(1.3, 6, random)


def haze(channel: Tensor, random: torch.Generator) -> Tensor:
    """A veil whose opacity changes evenly from top to bottom."""
    opacity = torch.linspace(uniform(0, 0.95, random), uniform(0, 0.95, random), channel.shape[0])[:, None]
    return (1 - opacity) * channel + opacity * uniform(0.5, 1, random)


def smoke(channel: Tensor, random: torch.Generator) -> Tensor:
    """A cloud, dense in some places and thin in others."""
    cloud = torch.zeros_like(channel)
    cells = whole(2, 6, random)
    for octave in range(3):
        lattice = torch.rand(1, 1, cells * 2**octave, cells * 2**octave, generator=random)
        cloud += 0.5**octave * nn.functional.interpolate(lattice, channel.shape, mode="bicubic")[0, 0]
    opacity = (uniform(1, 4, random) * (cloud / 1.75 - 0.5) + uniform(0.1, 0.8, random)).clamp(0, 0.98)
    return (1 - opacity) * channel + opacity * (uniform(0.3, 0.8, random) + uniform(0, 0.3, random) * cloud)


DAMAGES: tuple[tuple[Damage, tuple[int, ...]], ...] = (
    (noise, (INFRARED, VISIBLE)),
    (stripes, (INFRARED, INFRARED, VISIBLE)),
    (coarse, (INFRARED,)),
    (partial, (INFRARED, INFRARED, INFRARED, VISIBLE)),
    (dead_pixels, (INFRARED, INFRARED, VISIBLE)),
    (dead_blocks, (INFRARED, INFRARED, VISIBLE)),
    (blur, (INFRARED, VISIBLE)),
    (low_light, (VISIBLE,)),
    (glare, (VISIBLE,)),
    (over_exposure, (VISIBLE,)),
    (haze, (VISIBLE,)),
    (smoke, (VISIBLE,)),
)
"""Each kind, called as its function, and the images that it may hit."""

EQUAL: Mapping[str, float] = {}
"""Weights that make all kinds equally likely."""


def damaged_crop(crop: Tensor, random: torch.Generator, weights: Mapping[str, float] = EQUAL) -> Tensor:
    """One damage, or two, of `(2, H, W)` luminance in [0, 1], infrared first; clipped, and rounded to 8 bits.

    A kind is drawn as often as its name in `weights` says, in proportion; those not named count once.
    """
    damaged = crop.clone()
    for _ in range(drawn_count(random)):
        damage, hits = drawn_kind(random, weights)
        channel = hits[whole(0, len(hits) - 1, random)]
        damaged[channel] = in_8_bits(damage(damaged[channel], random))
    return damaged


def damaged_image(image: Tensor, random: torch.Generator, weights: Mapping[str, float] = EQUAL) -> Tensor:
    """One damage, or two, of `(1, H, W)` luminance in [0, 1], whichever sensor it is of, drawn as in `damaged_crop`;
    clipped, and rounded to 8 bits."""
    damaged = image[0]
    for _ in range(drawn_count(random)):
        damage, _ = drawn_kind(random, weights)
        damaged = in_8_bits(damage(damaged, random))
    return damaged[None]


def drawn_count(random: torch.Generator) -> int:
    """How many damages come together."""
    return 2 if torch.rand((), generator=random) < SECOND_DAMAGE_PROBABILITY else 1


def drawn_kind(random: torch.Generator, weights: Mapping[str, float]) -> tuple[Damage, tuple[int, ...]]:
    """One of `DAMAGES`."""
    chances = torch.tensor([weights.get(damage.__name__, 1.0) for damage, _ in DAMAGES])
    return DAMAGES[int(torch.multinomial(chances, 1, generator=random))]


def in_8_bits(channel: Tensor) -> Tensor:
    """Luminance clipped to [0, 1] and rounded to whole 255ths."""
    return (channel.clamp(0, 1) * WHITE).round() / WHITE
