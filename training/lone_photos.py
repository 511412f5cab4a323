"""Photos without an infrared image, each beside one that is made up: a scene that is nearly as warm everywhere.

Registered pairs are of streets and fields. They never show a pale table close by under an infrared image that is flat
and black, and a network that has not seen such a pair undamaged takes the table for haze (docs/experiments.md).
"""

import numpy as np
import torch
from torch import Tensor, nn

from maefuse_hf.colour import to_uint8
from maefuse_hf.refinement import gaussian_blur
from training.config import DataConfig
from training.damages import log_uniform, uniform, whole
from training.data import Pairs, read_photos, require_room


def read_lone_photos(data: DataConfig) -> Pairs:
    """`data.lone_photos` of `data.photos`, spread evenly over them, as pairs in memory.

    Raises:
        ValueError: if there are fewer photos, or one is smaller than a crop.
    """
    photos = read_photos(data.photos or "")
    if data.lone_photos > len(photos):
        raise ValueError(f"lone_photos is {data.lone_photos}, and {data.photos} holds {len(photos)} photos. Lower it.")
    numbers = [k * len(photos) // data.lone_photos for k in range(data.lone_photos)]
    pairs = []
    for number in numbers:
        require_room(photos[number], data.crop_size)
        height, width = photos[number].shape[1:]
        pairs.append(np.concatenate([even_infrared(height, width, seed=number), photos[number]]))
    return Pairs([f"photo {number}" for number in numbers], pairs.__getitem__)


def even_infrared(height: int, width: int, seed: int) -> np.ndarray:
    """`(1, height, width)` uint8: one level, mostly dark, that drifts a little, the noise of a sensor, and in two of
    three images one to three things that are warmer, with soft edges."""
    random = torch.Generator().manual_seed(seed)
    level = uniform(0, 0.35, random) if torch.rand((), generator=random) < 0.7 else uniform(0, 1, random)
    lattice = torch.rand(1, 1, *(whole(2, 6, random) for _ in range(2)), generator=random) - 0.5
    drift = nn.functional.interpolate(lattice, (height, width), mode="bicubic")[0, 0]
    image = level + log_uniform(0.01, 0.25, random) * drift
    if torch.rand((), generator=random) < 2 / 3:
        for _ in range(whole(1, 3, random)):
            warm = warm_thing(height, width, random)
            image = image + warm * (uniform(0.4, 1, random) - image)
    image = image + log_uniform(0.002, 0.02, random) * torch.randn(height, width, generator=random)
    return to_uint8(image.numpy())[None]


def warm_thing(height: int, width: int, random: torch.Generator) -> Tensor:
    """`(height, width)` opacity of an ellipse or a rectangle, blurred at its edge."""
    side = min(height, width)
    down, across = uniform(0, height, random), uniform(0, width, random)
    tall, wide = log_uniform(0.05, 0.4, random) * side, log_uniform(0.05, 0.4, random) * side
    rows = (torch.arange(height)[:, None] - down).abs() / tall
    columns = (torch.arange(width)[None] - across).abs() / wide
    inside = rows**2 + columns**2 < 1 if whole(0, 1, random) else (rows < 1) & (columns < 1)
    return gaussian_blur(inside.float()[None, None], log_uniform(0.7, 4, random))[0, 0]
