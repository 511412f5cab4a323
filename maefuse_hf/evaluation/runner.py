# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Pairs and systems in, a row of metrics for each of them out; docs/metrics.md states the protocol."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from ..colour import luminance_8_bit, to_uint8
from ..image_files import decode, write_image
from ..image_processing_maefuse import MaeFuseImageProcessor, load_infrared, load_rgb
from ..inference.pair_fusion import FusedPair, fuse_pair
from ..inference.pairs import PairPaths, evenly_spread, find_pairs, images_by_name
from ..metrics import fusion_metrics, hot_target_survival
from ..metrics.matched import matched_visual_information_fidelity
from ..modeling_maefuse import MaeFuseModel
from ..strategies import DEFAULT_CONTOUR, DEFAULT_FUSION, Contour, FusionStrategy
from ..visualization.captioned_row import side_by_side
from .baselines import BASELINES, Formula
from .processes import Processes
from .stability import stability

DECODER_PSNR = "decoder PSNR"
SOURCES = ("infrared", "visible")

STABILITY_PAIRS = 3
"""Of each data set; a system fuses five more images of each."""


@dataclass(frozen=True)
class Dataset:
    """A folder of pairs, and a sentence for each file in it that makes no pair."""

    name: str
    pairs: list[PairPaths]
    problems: list[str]


@dataclass(frozen=True)
class Row:
    """The values of one system on one pair, by metric; NaN where a metric has none."""

    dataset: str
    pair: str
    system: str
    values: dict[str, float]


@dataclass(frozen=True)
class Fused:
    """A system's image of a pair: to look at, and to measure the luminance of (8 bits, RGB or L), and the values that
    only this system has."""

    image: Image.Image
    measured: Image.Image
    values: dict[str, float] = field(default_factory=dict)


class System(Protocol):
    """Whatever gives a fused image for a pair."""

    @property
    def name(self) -> str:
        """How tables call it."""

    def fuse(self, dataset: str, pair: PairPaths) -> Fused:
        """Its image; `OSError` or `ValueError` where there is none."""


@runtime_checkable
class LiveSystem(Protocol):
    """A system that can fuse new images, so that damage and stability can be measured."""

    @property
    def name(self) -> str:
        """How tables call it."""

    def fuse_images(self, infrared: Image.Image, visible: Image.Image) -> Image.Image:
        """Fused luminance (mode "L") of two 8-bit images of one size; `OSError` or `ValueError` where there is none."""


@dataclass(frozen=True)
class FormulaSystem:
    """A formula from uint8 luminance `(1, 1, H, W)` of infrared and visible to fused luminance of the same kind."""

    name: str
    formula: Formula

    def fuse(self, dataset: str, pair: PairPaths) -> Fused:
        """The formula's luminance of the pair, see `System`."""
        fused = self.fuse_images(*read_sources(pair).values())
        return Fused(fused, fused)

    def fuse_images(self, infrared: Image.Image, visible: Image.Image) -> Image.Image:
        """See `LiveSystem`."""
        cpu = torch.device("cpu")
        return as_luminance(self.formula(as_tensor(infrared, cpu), as_tensor(visible, cpu)))


BASELINE_SYSTEMS = tuple(FormulaSystem(name, formula) for name, formula in BASELINES.items())


@dataclass(frozen=True)
class ModelSystem:
    """A MaeFuse model, run on each pair."""

    name: str
    model: MaeFuseModel
    processor: MaeFuseImageProcessor
    fusion: FusionStrategy = DEFAULT_FUSION
    contour: Contour = DEFAULT_CONTOUR

    def fuse(self, dataset: str, pair: PairPaths) -> Fused:
        """The model's image, and how well its decoder gives the two sources back."""
        fused = fuse_pair(self.model, self.processor, pair.infrared, pair.visible, self.fusion, self.contour)
        return Fused(fused.image, self.luminance(fused), {DECODER_PSNR: self.decoder_psnr(fused)})

    def fuse_images(self, infrared: Image.Image, visible: Image.Image) -> Image.Image:
        """The model's luminance of two 8-bit images."""
        return self.luminance(fuse_pair(self.model, self.processor, infrared, visible, self.fusion, self.contour))

    def luminance(self, fused: FusedPair) -> Image.Image:
        """What is measured: colours would clip it where they are saturated, a black image takes it as it is."""
        black = {**fused.inputs, "visible_rgb": torch.zeros_like(fused.inputs["visible_rgb"])}
        return self.processor.post_process_image_fusion(fused.outputs, black)[0]

    @torch.inference_mode()
    def decoder_psnr(self, fused: FusedPair) -> float:
        """PSNR in dB of encoder and decoder on a single image, peak 1, mean of infrared and visible."""
        images = torch.cat([fused.inputs["infrared"], fused.inputs["visible"]])
        restored = self.model.reconstruct(images).clamp(0, 1)
        height, width = fused.inputs.get("resized_sizes", fused.inputs["original_sizes"])[0].tolist()
        error = (restored - images)[..., :height, :width].square().mean(dim=(1, 2, 3))
        return (-10 * error.log10()).mean().item()


@dataclass
class FolderSystem:
    """Images that another method fused: a folder for each data set, files named as the pairs are."""

    name: str
    folders: dict[str, Path]
    images: dict[str, dict[str, list[Path]]] = field(init=False)

    def __post_init__(self) -> None:
        for folder in self.folders.values():
            if not folder.is_dir():
                raise ValueError(f"{self.name}: {folder} is no folder of fused images.")
        self.images = {dataset: images_by_name(folder) for dataset, folder in self.folders.items()}

    def fuse(self, dataset: str, pair: PairPaths) -> Fused:
        """The image of the pair's name."""
        paths = self.images[dataset].get(pair.name, [])
        if len(paths) != 1:
            found = f"more than one: {', '.join(map(str, paths))}" if paths else "none"
            raise ValueError(f"one image {pair.name}.* is needed in {self.folders[dataset]}, there is {found}.")
        pixels = decode(paths[0], str(paths[0]))
        if pixels.dtype != np.uint8:
            raise ValueError(f"{paths[0]} holds {pixels.dtype}; fused images are measured as 8 bit. Save it so.")
        image = Image.fromarray(pixels)
        return Fused(image, image)


def read_datasets(folders: Sequence[Path]) -> list[Dataset]:
    """The data sets in folders that `find_pairs` can read, under the folders' names.

    Raises:
        ValueError: a folder in neither layout or without anything, or two folders of one name.
        OSError: a folder that cannot be read.
    """
    datasets: list[Dataset] = []
    for folder in folders:
        name = folder.resolve().name
        if any(name == other.name for other in datasets):
            raise ValueError(f"Two data sets are called {name}; rename a folder, since tables name them so.")
        pairs, problems = find_pairs(folder)
        if not pairs and not problems:
            raise ValueError(f"{folder} holds no pairs.")
        first_of_name = {pair.name: pair for pair in reversed(pairs)}
        problems = problems + [
            f"{pair.name} is the name of two pairs; {pair.infrared} is left out"
            for pair in pairs
            if first_of_name[pair.name] is not pair
        ]
        datasets.append(Dataset(name, [pair for pair in pairs if first_of_name[pair.name] is pair], problems))
    return datasets


def read_source(path: Path, kind: str) -> Image.Image:
    """A source as 8-bit RGB; deeper pixels are scaled as the image processor does it by default, never clipped.

    Raises:
        OSError, ValueError: what the image processor raises for an image that cannot be used.
    """
    load = load_infrared if kind == "infrared" else load_rgb
    rgb = to_uint8(load(path, f"{kind} ({path})", None, MaeFuseImageProcessor.percentiles))
    return Image.fromarray(np.ascontiguousarray(rgb.transpose(1, 2, 0)))


def read_sources(pair: PairPaths) -> dict[str, Image.Image]:
    """Infrared and visible, see `read_source`; a `ValueError` if their sizes differ."""
    infrared, visible = (read_source(path, kind) for kind, path in zip(SOURCES, (pair.infrared, pair.visible)))
    require_size(infrared, "infrared", visible.size, "visible")
    return {"infrared": infrared, "visible": visible}


def require_size(image: Image.Image, name: str, size: tuple[int, int], of_what: str) -> None:
    """Raise a `ValueError` that says both sizes if an image has another one, (width, height)."""
    if image.size != size:
        raise ValueError(
            f"{name} is {'×'.join(map(str, image.size))} px, {of_what} is {'×'.join(map(str, size))} px; metrics "
            "compare pixel with pixel."
        )


def measure_pair(
    dataset: str,
    pair: PairPaths,
    systems: Sequence[System],
    definition: str,
    device: torch.device,
    with_stability: bool = False,
) -> tuple[list[Row], list[str], dict[str, Image.Image]]:
    """Rows for the systems and the baselines, a sentence for each that failed, and the images by caption.

    With stability, rows of systems that can fuse new images have its columns too.
    """
    where = f"{dataset}/{pair.name}"
    try:
        sources = read_sources(pair)
    except (OSError, ValueError) as error:
        return [], [f"{where}: {error}"], {}

    images, problems, measured = dict(sources), [], []
    for system in systems:
        try:
            fused = system.fuse(dataset, pair)
            require_size(fused.measured, "the fused image", sources["visible"].size, "the pair")
        except (OSError, ValueError) as error:
            problems.append(f"{where}, {system.name}: {error}")
            continue
        images[system.name] = fused.image
        measured.append((system.name, as_tensor(fused.measured, device), fused.values))
    infrared, visible = (as_tensor(source, device) for source in sources.values())
    measured += [(name, baseline(infrared, visible), {}) for name, baseline in BASELINES.items()]
    if with_stability:
        live = {system.name: system for system in (*systems, *BASELINE_SYSTEMS) if isinstance(system, LiveSystem)}
        for name, _, values in measured:
            if name in live:
                values.update(stability(live[name].fuse_images, *sources.values()))
    try:
        rows = [
            Row(dataset, pair.name, name, {**all_metrics(luminance, infrared, visible, definition), **values})
            for name, luminance, values in measured
        ]
    except ValueError as error:
        return [], [*problems, f"{where}: {error}"], images
    return rows, problems, images


def images_of(dataset: str, pair: PairPaths, systems: Sequence[System]) -> dict[str, Image.Image]:
    """Infrared, visible and the systems' images of a pair that was measured, by caption."""
    return {**read_sources(pair), **{system.name: system.fuse(dataset, pair).image for system in systems}}


def image_path(folder: Path, dataset: str, pair: PairPaths) -> Path:
    """Where an evaluation puts the images of a pair."""
    return folder / dataset / f"{pair.name}.png"


def as_tensor(image: Image.Image, device: torch.device) -> Tensor:
    """Luminance of an 8-bit image as `(1, 1, H, W)` uint8, see `luminance_8_bit`."""
    return torch.from_numpy(luminance_8_bit(image)).to(device)[None, None]


def as_luminance(levels: Tensor) -> Image.Image:
    """`(1, 1, H, W)` uint8 as an image of mode "L"."""
    return Image.fromarray(levels[0, 0].cpu().numpy())


def all_metrics(fused: Tensor, infrared: Tensor, visible: Tensor, definition: str) -> dict[str, float]:
    """Fusion metrics, VIF without stretched contrast and the hot-target measure of one `(1, 1, H, W)` image; NaN where
    there is no value."""
    values = fusion_metrics(fused, infrared, visible, definition=definition, allow_undefined=True)
    values["VIF matched"] = matched_visual_information_fidelity(fused, infrared, visible, allow_undefined=True)
    values |= hot_target_survival(fused, infrared, visible, allow_undefined=True)
    return {name: value.item() for name, value in values.items()}


def evaluate(
    datasets: Sequence[Dataset],
    systems: Sequence[System],
    processes: Processes,
    definition: str,
    device: torch.device,
    images_folder: Path | None = None,
    stability_pairs: int = STABILITY_PAIRS,
) -> tuple[list[Row], list[str]]:
    """Measure all pairs, each by one of the processes.

    Args:
        datasets, systems, definition: what is measured, see `read_datasets`, `System`, `metrics.DEFINITIONS`.
        device: where metrics are computed.
        images_folder: gets `DATASET/PAIR.png`, infrared, visible and fused side by side; the folders are there.
        stability_pairs: on how many pairs of each data set, spread evenly, stability is measured.

    Returns:
        in each process the same: all rows, by data set, pair and system, baselines last; and a sentence for each
        problem.
    """
    tasks = [(dataset.name, pair) for dataset in datasets for pair in dataset.pairs]
    for_stability = {
        (dataset.name, pair) for dataset in datasets for pair in evenly_spread(dataset.pairs, stability_pairs)
    }
    numbers = processes.share(range(len(tasks)))
    done = []
    for number in tqdm(numbers, unit="pair", disable=not processes.is_main):
        dataset, pair = tasks[number]
        rows, problems, images = measure_pair(
            dataset, pair, systems, definition, device, (dataset, pair) in for_stability
        )
        if images and images_folder is not None:
            write_image(side_by_side(images), image_path(images_folder, dataset, pair))
        done.append((number, rows, problems))
    results = sorted(processes.gather(done), key=lambda result: result[0])
    all_problems = [f"{dataset.name}: {problem}" for dataset in datasets for problem in dataset.problems]
    all_problems += [problem for _, _, problems in results for problem in problems]
    return [row for _, rows, _ in results for row in rows], all_problems
