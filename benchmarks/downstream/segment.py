"""How well a small segmenter that is trained on a system's fused images labels others of them."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from .bootstrap import RESAMPLES, Interval, intervals
from .boxes import read_labels
from .intersection_over_union import CLASSES, class_ious, mean_iou
from .segmentation import Recipe, train_and_test

WORKERS = 2
COLUMNS: dict[str, tuple[str | None, str]] = {
    "mIoU": (None, "DN"),
    "mIoU by night": (None, "N"),
    "IoU car": ("car", "DN"),
    "IoU person": ("person", "DN"),
    "IoU person by night": ("person", "N"),
}
"""Title of a column to the class it is of, the mean of all if none, and the last letters of the pairs that count."""


class Material(NamedTuple):
    """Images `(N, C, H, W)` and labels `(N, H, W)`, uint8, to train on and to test on."""

    training: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]


def material(
    images: Mapping[str, np.ndarray],
    training_names: Sequence[str],
    test_names: Sequence[str],
    labels_dir: Path,
    recipe: Recipe,
) -> Material:
    """Images and labels at the recipe's size: images by means of areas, labels by the nearest one.

    Args:
        images: by pair name, `(H, W)` or `(C, H, W)` uint8.
        labels_dir: holds NAME.png with the levels of `CLASSES`.
    """
    height, width = recipe.size

    def resized(plane: np.ndarray, filter_: Image.Resampling) -> np.ndarray:
        return np.asarray(Image.fromarray(plane).resize((width, height), filter_))

    def stacked(names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        pixels, labels = [], []
        for name in names:
            image = images[name]
            planes = image[None] if image.ndim == 2 else image
            pixels.append(np.stack([resized(plane, Image.Resampling.BOX) for plane in planes]))
            labels.append(resized(read_labels(labels_dir, name), Image.Resampling.NEAREST))
        return np.stack(pixels), np.stack(labels)

    return Material(stacked(training_names), stacked(test_names))


def train_all(
    materials: Mapping[str, Material], recipe: Recipe, seeds: Sequence[int], weights: Path | None, cache: Path
) -> dict[str, list[np.ndarray]]:
    """Train a segmenter for each system and seed, two at a time, with a bar.

    Args:
        materials: by system.
        recipe, weights: see `train_and_test`.
        cache: folder that keeps the result of each training, so that a run that was stopped goes on.

    Returns:
        by system, the confusion counts `(test images, classes, classes)` of each seed.
    """
    files = {
        (system, seed): cache / f"{digest(own, recipe, weights)}-{seed}.npy"
        for system, own in materials.items()
        for seed in seeds
    }
    with ProcessPoolExecutor(WORKERS, get_context("spawn"), torch.set_num_threads, (1,)) as workers:
        running = {
            workers.submit(train_and_test, *materials[system], recipe, seed, weights): (system, seed)
            for (system, seed), file in files.items()
            if not file.is_file()
        }
        done = len(files) - len(running)
        bar = tqdm(as_completed(running), total=len(files), initial=done, unit="training", desc="segmenter")
        for future in bar:
            partial = files[running[future]].with_suffix(".part")
            with partial.open("wb") as file:
                np.save(file, future.result())
            partial.rename(files[running[future]])
    return {system: [np.load(files[system, seed]) for seed in seeds] for system in materials}


def digest(own: Material, recipe: Recipe, weights: Path | None) -> str:
    """What a training's result depends on, apart from the seed."""
    state = sha256(f"{recipe} {weights.name if weights else None}".encode())
    for images, labels in own:
        state.update(f"{images.shape}".encode() + images.tobytes() + labels.tobytes())
    return state.hexdigest()[:24]


def iou_of(counts: Sequence[np.ndarray], kind: str | None, counted: np.ndarray, times: np.ndarray) -> float:
    """Mean over seeds of the IoU of one class, or of all, over images that count, each so many times."""
    summed = [np.tensordot(counted * times, own, axes=1) for own in counts]
    if kind is None:
        return float(np.mean([mean_iou(total) for total in summed]))
    return float(np.mean([class_ious(total)[CLASSES.index(kind)] for total in summed]))


def segmenter_intervals(
    counts: Mapping[str, Sequence[np.ndarray]], names: Sequence[str], reference: str, resamples: int = RESAMPLES
) -> dict[str, tuple[dict[str, Interval], dict[str, Interval]]]:
    """Intervals of each column by system, and of the differences to the reference system.

    Args:
        counts: of `train_all`.
        names: of the test images, in their order.
    """
    columns = {}
    for title, (kind, letters) in COLUMNS.items():
        counted = np.array([float(name[-1] in letters) for name in names])
        figures = {
            system: lambda times, own=own, kind=kind, counted=counted: iou_of(own, kind, counted, times)
            for system, own in counts.items()
        }
        columns[title] = intervals(figures, len(names), reference, resamples)
    return columns
