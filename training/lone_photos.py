"""Photos without an infrared image, each beside one that is made up.

Registered pairs are of streets and fields, and of few cameras. They never show a pale table close by under an infrared
image that is flat and black, and a network that has not seen such a pair undamaged takes the table for haze
(docs/experiments.md). So some photos get a scene that is nearly as warm everywhere. The others get one whose things
have the photo's shapes and a warmth of their own, so that the network sees edges and textures of more than one city.
"""

import numpy as np
import torch
from torch import Tensor, nn

from maefuse_hf.colour import WHITE, to_uint8
from maefuse_hf.refinement import gaussian_blur
from training.config import DataConfig
from training.damages import log_uniform, uniform, whole
from training.data import Pairs, read_photos, require_room


def read_lone_photos(data: DataConfig) -> Pairs:
    """`data.lone_photos` of `data.photos`, spread evenly over them, as pairs in memory: one in three beside an even
    infrared image, the others beside one of their own shapes.

    Raises:
        ValueError: if there are fewer photos, or one is smaller than a crop.
    """
    photos = read_photos(data.photos or "")
    if data.lone_photos > len(photos):
        raise ValueError(f"lone_photos is {data.lone_photos}, and {data.photos} holds {len(photos)} photos. Lower it.")
    numbers = [k * len(photos) // data.lone_photos for k in range(data.lone_photos)]
    pairs = []
    for k, number in enumerate(numbers):
        require_room(photos[number], data.crop_size)
        height, width = photos[number].shape[1:]
        infrared = even_infrared(height, width, number) if k % 3 == 0 else shaped_infrared(photos[number], number)
        pairs.append(np.concatenate([infrared, photos[number]]))
    return Pairs([f"photo {number}" for number in numbers], pairs.__getitem__)


def even_infrared(height: int, width: int, seed: int) -> np.ndarray:
    """`(1, height, width)` uint8: one level, mostly dark, that drifts a little, the noise of a sensor, and in two of
    three images one to three things that are warmer, with soft edges."""
    random = torch.Generator().manual_seed(seed)
    level = uniform(0, 0.35, random) if torch.rand((), generator=random) < 0.7 else uniform(0, 1, random)
    waves = drift(height, width, random)
    return sensed(level + log_uniform(0.01, 0.25, random) * waves, random)


def shaped_infrared(photo: np.ndarray, seed: int) -> np.ndarray:
    """`(1, height, width)` uint8: the photo's shapes under another brightness each, less of its texture, a blur as of
    a coarser sensor, and warm things and noise as in an even image.

    Args:
        photo: `(1, height, width)` uint8.
    """
    random = torch.Generator().manual_seed(seed)
    luminance = torch.from_numpy(photo)[None].float() / WHITE
    height, width = photo.shape[1:]
    shapes = gaussian_blur(luminance, log_uniform(1, 4, random))
    texture = luminance - shapes
    # two curves from brightness to warmth, one passing into the other over the image
    share = (4 * drift(height, width, random)).sigmoid()
    curves = [curve(shapes[0, 0], random) for _ in range(2)]
    image = share * curves[0] + (1 - share) * curves[1] + uniform(-0.3, 0.8, random) * texture[0, 0]
    image = gaussian_blur(image[None, None], log_uniform(0.3, 1.5, random))[0, 0]
    low, high = image.min(), image.max()
    contrast, level = log_uniform(0.2, 1, random), torch.rand((), generator=random).item()
    image = contrast * (image - low) / (high - low).clamp(min=1 / WHITE) + level * (1 - contrast)
    return sensed(image, random)


def drift(height: int, width: int, random: torch.Generator) -> Tensor:
    """`(height, width)` between about -1/2 and 1/2 that rises and falls a few times over the image."""
    lattice = torch.rand(1, 1, *(whole(2, 6, random) for _ in range(2)), generator=random) - 0.5
    return nn.functional.interpolate(lattice, (height, width), mode="bicubic")[0, 0]


def curve(levels: Tensor, random: torch.Generator, knots: int = 6) -> Tensor:
    """Levels in [0, 1] through straight lines between `knots` random values, which may rise and fall."""
    values = torch.rand(knots, generator=random)
    place = levels.clamp(0, 1) * (knots - 1)
    left = place.floor().long().clamp(max=knots - 2)
    return values[left] + (place - left) * (values[left + 1] - values[left])


def sensed(image: Tensor, random: torch.Generator) -> np.ndarray:
    """`(1, height, width)` uint8 of a `(height, width)` scene in [0, 1] with the noise of a sensor and, in two of three
    scenes, one to three warmer things."""
    height, width = image.shape
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
