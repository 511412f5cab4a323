"""Pairs of registered pictures and single pictures: found, checked, decoded, cropped and augmented."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler
from tqdm import tqdm

from maefuse_hf import MaeFuseImageProcessor
from maefuse_hf.pairs import PairPaths, match_pairs
from training.config import DataConfig


def find_pairs(folder: Path) -> list[PairPaths]:
    """List the pairs of a folder, sorted by name.

    Args:
        folder: holds `metadata.jsonl` with `infrared_file_name` and `visible_file_name` a line, or two folders
            `infrared/` and `visible/` of pictures with the same stem.

    Raises:
        ValueError: if files are missing (all of them listed) or the folder holds no pair.
        OSError: if the folder cannot be read.
    """
    metadata = folder / "metadata.jsonl"
    if metadata.is_file():
        rows = [json.loads(line) for line in metadata.read_text().splitlines() if line.strip()]
        pairs = [
            PairPaths(
                Path(row["infrared_file_name"]).stem,
                folder / row["infrared_file_name"],
                folder / row["visible_file_name"],
            )
            for row in rows
        ]
        problems = [
            f"{path} does not exist" for pair in pairs for path in (pair.infrared, pair.visible) if not path.is_file()
        ]
    else:
        pairs, problems = match_pairs(folder / "infrared", folder / "visible")
    if problems:
        raise ValueError(f"{folder} is incomplete. {'; '.join(sorted(problems))}.")
    if not pairs:
        raise ValueError(f"{folder} holds no pairs: it needs metadata.jsonl or two folders infrared/ and visible/.")
    return sorted(pairs, key=lambda pair: pair.name)


def split_pairs(pairs: Sequence[PairPaths], validation_pairs: int) -> tuple[list[PairPaths], list[PairPaths]]:
    """Keep `validation_pairs` pairs, evenly spread over the sorted names, out of training.

    Returns:
        `(training, validation)`, disjoint, together all pairs.

    Raises:
        ValueError: if nothing would be left to train on.
    """
    if validation_pairs >= len(pairs):
        raise ValueError(
            f"{validation_pairs} validation pairs of {len(pairs)} leave nothing to train on; lower validation_pairs."
        )
    held_out = {(2 * k + 1) * len(pairs) // (2 * validation_pairs) for k in range(validation_pairs)}
    training = [pair for k, pair in enumerate(pairs) if k not in held_out]
    return training, [pairs[k] for k in sorted(held_out)]


def read_pair(pair: PairPaths) -> np.ndarray:
    """One pair as `(2, H, W)` uint8 luminance, infrared first, read as at inference.

    Raises:
        ValueError: if the two sizes differ or a picture has no content.
        OSError: if a file cannot be read as a picture; the message names it.
    """
    inputs = MaeFuseImageProcessor(size_divisor=1)(infrared=pair.infrared, visible=pair.visible)
    pixels = np.concatenate([inputs["infrared"][0], inputs["visible"][0]])
    return np.rint(pixels * 255).astype(np.uint8)


def read_pairs(pairs: Sequence[PairPaths]) -> list[np.ndarray]:
    """Decode pairs into memory, `(2, H, W)` uint8 each, with a progress bar."""
    with ThreadPoolExecutor() as pool:
        return list(tqdm(pool.map(read_pair, pairs), total=len(pairs), desc="reading pairs", unit="pair"))


def read_photos(files: str) -> list[np.ndarray]:
    """Decode the `image` column of Parquet files (a glob) into memory, `(1, H, W)` uint8 luminance each."""
    import datasets

    photos = datasets.load_dataset("parquet", data_files=files, split="train").select_columns("image")
    return [np.asarray(row["image"].convert("L"))[None] for row in tqdm(photos, desc="reading photos", unit="photo")]


def check_crop(pictures: Sequence[np.ndarray], crop_size: int) -> None:
    """Raise a `ValueError` if a picture is smaller than the crop."""
    small = [picture.shape[1:] for picture in pictures if min(picture.shape[1:]) < crop_size]
    if small:
        raise ValueError(f"{len(small)} pictures are smaller than the crop of {crop_size}, the first one {small[0]}.")


class RandomCrops(Dataset[Tensor]):
    """Random square crops: one crop and one flip for all pictures of a scene, gamma and gain for each picture, infrared
    now and then inverted.

    Items are `(C, crop, crop)` float32 luminance in [0, 1], with C = 2 (infrared, visible) for pairs and 1 for single
    pictures. An item is asked for by its scene's index and a seed, as `SeededDraws` yields them.
    """

    def __init__(self, pictures: Sequence[np.ndarray], data: DataConfig) -> None:
        check_crop(pictures, data.crop_size)
        self.pictures = pictures
        self.data = data

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, draw: tuple[int, int]) -> Tensor:
        index, seed = draw
        random = torch.Generator().manual_seed(seed)
        picture, size = self.pictures[index], self.data.crop_size
        top, left = (int(torch.randint(side - size + 1, (), generator=random)) for side in picture.shape[1:])
        crop = torch.from_numpy(picture[:, top : top + size, left : left + size].copy()).float() / 255
        if torch.rand((), generator=random) < 0.5:
            crop = crop.flip(-1)
        if len(crop) > 1 and torch.rand((), generator=random) < self.data.black_hot_probability:
            crop[0] = 1 - crop[0]
        return torch.stack([self.augment(channel, random) for channel in crop])

    def augment(self, channel: Tensor, random: torch.Generator) -> Tensor:
        """Random gamma, then random gain around the mean, of `(H, W)` luminance in [0, 1]; stays in [0, 1]."""
        low, high = np.log(self.data.gamma_range)
        gamma = torch.empty(()).uniform_(low, high, generator=random).exp()
        gain = torch.empty(()).uniform_(*self.data.gain_range, generator=random)
        channel = channel**gamma
        return (channel.mean() + gain * (channel - channel.mean())).clamp(0, 1)


class SeededDraws(Sampler[tuple[int, int]]):
    """Scenes drawn by weight, with replacement, each with a seed of its own.

    The draws depend on the seed alone: not on the number of workers or processes, nor on what was drawn before, so
    a run that goes on sees what it would have seen.
    """

    def __init__(self, weights: Sequence[float], draws: int, seed: int) -> None:
        self.weights = torch.tensor(weights, dtype=torch.float64)
        self.draws = draws
        self.seed = seed

    def __len__(self) -> int:
        return self.draws

    def __iter__(self) -> Iterator[tuple[int, int]]:
        random = torch.Generator().manual_seed(self.seed)
        scenes = torch.multinomial(self.weights, self.draws, replacement=True, generator=random)
        seeds = torch.randint(torch.iinfo(torch.int64).max, (self.draws,), generator=random)
        yield from zip(scenes.tolist(), seeds.tolist())
