"""Random crops of pairs and single images, and the order in which they are drawn; seeds alone decide both."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, IterableDataset, Sampler

from training.config import DataConfig
from training.damages import damaged_crop, damaged_image, log_uniform
from training.data import Pairs, decode_streamed, require_room, row_name, share_of_stream

Draw = tuple[int, int]
"""Index of a scene, and the seed of its crop."""

LARGEST_SEED = torch.iinfo(torch.int64).max


def augmented_crop(image: np.ndarray, seed: int, data: DataConfig) -> Tensor:
    """A random square crop of a scene: one place and one flip for all its images, gamma and gain for each image,
    infrared now and then inverted.

    Args:
        image: `(C, H, W)` uint8 luminance; C = 2 (infrared, visible) for pairs, 1 for single images.
        seed: decides everything random.
        data: size of the crop, ranges of the augmentation.

    Returns:
        `(C, crop, crop)` float32 luminance in [0, 1].
    """
    random = torch.Generator().manual_seed(seed)
    size = min(round(data.crop_size / log_uniform(*data.scale_range, random)), *image.shape[1:])
    top, left = (int(torch.randint(side - size + 1, (), generator=random)) for side in image.shape[1:])
    crop = torch.from_numpy(image[:, top : top + size, left : left + size].copy()).float() / 255
    if size != data.crop_size:
        # antialiasing may leave [0, 1] by a rounding error, which a power below one would not survive
        smaller = nn.functional.interpolate(crop[None], (data.crop_size,) * 2, mode="bilinear", antialias=True)[0]
        crop = smaller.clamp(0, 1)
    if torch.rand((), generator=random) < 0.5:
        crop = crop.flip(-1)
    if len(crop) > 1 and torch.rand((), generator=random) < data.black_hot_probability:
        crop[0] = 1 - crop[0]
    return torch.stack([augmented(channel, random, data) for channel in crop])


def augmented(channel: Tensor, random: torch.Generator, data: DataConfig) -> Tensor:
    """Random gamma, then random gain around the mean, of `(H, W)` luminance in [0, 1]; stays in [0, 1]."""
    gamma = log_uniform(*data.gamma_range, random)
    gain = torch.empty(()).uniform_(*data.gain_range, generator=random)
    channel = channel**gamma
    return (channel.mean() + gain * (channel - channel.mean())).clamp(0, 1)


def centre_crop(image: np.ndarray, crop_size: int) -> Tensor:
    """The middle `(C, crop, crop)` of `(C, H, W)` uint8 luminance, as float32 in [0, 1]."""
    top, left = ((side - crop_size) // 2 for side in image.shape[1:])
    return torch.from_numpy(image[:, top : top + crop_size, left : left + crop_size].copy()).float() / 255


DAMAGE_SEED = 0x5EED
"""Parts the draws of a crop's damage from those of its place."""


def drawn_damage(seed: int, data: DataConfig) -> torch.Generator | None:
    """What draws the damage of a crop; none where it stays undamaged."""
    random = torch.Generator().manual_seed(seed ^ DAMAGE_SEED)
    hit = torch.rand((), generator=random) < data.damage_probability
    return random if hit else None


class ImageCrops(Dataset[tuple[Tensor, Tensor]]):
    """Random crops of single images, each asked for by a `Draw`: as the encoder sees them, and the same undamaged,
    `(1, crop, crop)` luminance in [0, 1]."""

    def __init__(self, images: Sequence[np.ndarray], data: DataConfig) -> None:
        for image in images:
            require_room(image, data.crop_size)
        self.images = images
        self.data = data

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, draw: Draw) -> tuple[Tensor, Tensor]:
        index, seed = draw
        clean = augmented_crop(self.images[index], seed, self.data)
        random = drawn_damage(seed, self.data)
        return clean if random is None else damaged_image(clean, random, self.data.damage_weights), clean


def pair_of_crops(clean: Tensor, seed: int, data: DataConfig, scene: int) -> dict[str, Any]:
    """What a batch of pairs is made of: `infrared` and `visible` `(1, crop, crop)` as the model sees them, the same
    undamaged, and the number of their scene."""
    random = drawn_damage(seed, data)
    seen = clean if random is None else damaged_crop(clean, random, data.damage_weights)
    return {
        "infrared": seen[:1],
        "visible": seen[1:],
        "clean_infrared": clean[:1],
        "clean_visible": clean[1:],
        "scene": scene,
    }


class PairCrops(Dataset[dict[str, Any]]):
    """Random crops of pairs, each asked for by a `Draw`."""

    def __init__(self, pairs: Pairs, data: DataConfig) -> None:
        self.pairs = pairs
        self.data = data

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, draw: Draw) -> dict[str, Any]:
        scene, seed = draw
        return pair_of_crops(augmented_crop(self.pairs[scene], seed, self.data), seed, self.data, scene)

    def name(self, scene: int) -> str:
        """The name of a scene."""
        return self.pairs.names[scene]


class FixedPairCrops(PairCrops):
    """`data.crops_per_pair` crops of each pair, drawn once: asked for again, an index gives the same crop."""

    def __init__(self, pairs: Pairs, data: DataConfig, seed: int) -> None:
        super().__init__(pairs, data)
        assert data.crops_per_pair is not None
        self.crops_per_pair = data.crops_per_pair
        self.seed = seed
        random = torch.Generator().manual_seed(seed)
        self.seeds = torch.randint(LARGEST_SEED, (len(self),), generator=random).tolist()

    def __len__(self) -> int:
        return len(self.pairs) * self.crops_per_pair

    def __getitem__(self, draw: Draw) -> dict[str, Any]:
        index = draw[0]
        return super().__getitem__((index // self.crops_per_pair, self.seeds[index]))


class StreamedPairCrops(IterableDataset[dict[str, Any]]):
    """As many random crops as one process is to draw of its share of a stream of pairs, shuffled within its buffer.

    The draws depend on the seed and on the number of processes. A run that goes on leaves out those that it `skipped`:
    their rows are read again, to fill the buffer alike, but not decoded.
    """

    def __init__(
        self,
        stream: Any,
        data: DataConfig,
        draws: int,
        seed: int,
        process: int = 0,
        processes: int = 1,
        skipped: int = 0,
    ) -> None:
        self.stream = share_of_stream(stream, process, processes)
        self.data = data
        self.draws = draws
        self.seed = seed
        self.process = process
        self.processes = processes
        self.skipped = skipped

    def __len__(self) -> int:
        return self.draws - self.skipped

    def __iter__(self) -> Iterator[dict[str, Any]]:
        random = torch.Generator().manual_seed(self.seed)
        for draw, row in enumerate(itertools.islice(self.rows(), self.draws)):
            # one for each process, so that no two draw alike
            seed = int(torch.randint(LARGEST_SEED, (self.processes,), generator=random)[self.process])
            if draw >= self.skipped:
                pair = decode_streamed(row, self.data.crop_size)
                yield pair_of_crops(augmented_crop(pair, seed, self.data), seed, self.data, row["row"])

    def rows(self) -> Iterator[dict[str, Any]]:
        """The stream's rows again and again, in another order each time."""
        shuffled = self.stream.shuffle(seed=self.seed, buffer_size=self.data.shuffle_buffer)
        for epoch in itertools.count():
            shuffled.set_epoch(epoch)
            empty = True
            for row in shuffled:
                empty = False
                yield row
            if empty:
                raise ValueError(
                    f"{self.data.pairs} streams no pair to process {self.process} of {self.processes}: it has fewer "
                    "than processes, or a file without any. Write it into files of like size, or start fewer processes."
                )

    def name(self, scene: int) -> str:
        """The name of a scene."""
        return row_name(scene)


class SeededDraws(Sampler[Draw]):
    """Scenes in some order, each with a seed of its own.

    The draws depend on the seed alone: not on the number of workers or processes, nor on what was drawn before, so
    a run that goes on sees what it would have seen.
    """

    def __init__(self, draws: int, seed: int) -> None:
        self.draws = draws
        self.seed = seed

    def __len__(self) -> int:
        return self.draws


class WeightedDraws(SeededDraws):
    """Scenes drawn by weight, with replacement."""

    def __init__(self, weights: Sequence[float], draws: int, seed: int) -> None:
        super().__init__(draws, seed)
        self.weights = torch.tensor(weights, dtype=torch.float64)

    def __iter__(self) -> Iterator[Draw]:
        random = torch.Generator().manual_seed(self.seed)
        scenes = torch.multinomial(self.weights, self.draws, replacement=True, generator=random)
        seeds = torch.randint(LARGEST_SEED, (self.draws,), generator=random)
        yield from zip(scenes.tolist(), seeds.tolist())


class EpochDraws(SeededDraws):
    """Every scene once an epoch, in another order each time."""

    def __init__(self, scenes: int, draws: int, seed: int) -> None:
        super().__init__(draws, seed)
        self.scenes = scenes

    def __iter__(self) -> Iterator[Draw]:
        random = torch.Generator().manual_seed(self.seed)
        for first in range(0, self.draws, self.scenes):
            order = torch.randperm(self.scenes, generator=random)[: self.draws - first]
            seeds = torch.randint(LARGEST_SEED, (len(order),), generator=random)
            yield from zip(order.tolist(), seeds.tolist())
