# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""One pair of images through processor, model and back."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm
from transformers.feature_extraction_utils import BatchFeature

from ..colour import replace_luminance
from ..image_files import opened_file, read_header
from ..image_processing_maefuse import MaeFuseImageProcessor, require_finite
from ..modeling_maefuse import MaeFuseModel, MaeFuseOutput
from ..strategies import DEFAULT_CONTOUR, DEFAULT_FUSION, Contour, FusionStrategy
from ..visualization.thermal_palette import seen_infrared
from .pair_rows import PairRows
from .strips import fused_strips

Turn: TypeAlias = AbstractContextManager[Any]

ANY_TIME: Turn = nullcontext()
"""The turn of a model that nobody else uses."""

LARGEST_HELD_WHOLE = 4_000_000
"""Pixels of a pair above which it is fused in strips."""

FOR_THE_MODEL = ("infrared", "visible", "original_sizes", "resized_sizes")
"""What the model takes of what the processor gives."""


class BatchMemoryError(ValueError):
    """A batch does not fit into the memory of a GPU; smaller ones may."""


@dataclass(frozen=True)
class FusedPair:
    """What went into the model, what came out, and the fused image: RGB, of the visible image's size."""

    inputs: BatchFeature
    outputs: MaeFuseOutput
    image: Image.Image

    def infrared(self) -> np.ndarray:
        """Infrared as the model saw it, at the visible image's size: (height, width) float32 in [0, 1]."""
        return seen_infrared(self.inputs)


@dataclass(frozen=True)
class FusedInStrips:
    """A pair that was fused in strips, and the fused image: RGB, of the visible image's size."""

    pair: PairRows
    image: Image.Image

    def infrared(self) -> np.ndarray:
        """Infrared as the model saw it: (height, width) float32 in [0, 1]."""
        return self.pair.infrared()


@torch.inference_mode()
def fuse_pair(
    model: MaeFuseModel,
    processor: MaeFuseImageProcessor,
    infrared: Path | Image.Image,
    visible: Path | Image.Image,
    fusion: FusionStrategy = DEFAULT_FUSION,
    contour: Contour = DEFAULT_CONTOUR,
    turn: Turn = ANY_TIME,
    **overrides: Any,
) -> FusedPair:
    """Fuse one pair on the model's device.

    Args:
        infrared, visible: files or images.
        fusion, contour: for the model.
        turn: held while the model runs, for threads that share it.
        overrides: for the processor.

    Raises:
        OSError, ValueError: what processor and model raise for images that cannot be used.
    """
    inputs = processor(infrared=infrared, visible=visible, return_tensors="pt", **overrides).to(model.device)
    [outputs] = outputs_of(model, [inputs], fusion, contour, turn)
    return FusedPair(inputs, outputs, processor.post_process_image_fusion(outputs, inputs)[0])


@torch.inference_mode()
def outputs_of(
    model: MaeFuseModel,
    batch: Sequence[BatchFeature],
    fusion: FusionStrategy = DEFAULT_FUSION,
    contour: Contour = DEFAULT_CONTOUR,
    turn: Turn = ANY_TIME,
) -> list[MaeFuseOutput]:
    """What the model gives of each of some pairs of one size, in one call.

    Args:
        batch: what the processor made of each pair, on the model's device.
        others: as in `fuse_pair`.

    Raises:
        BatchMemoryError: several pairs do not fit into a GPU's memory together.
        ValueError: one pair does not, or what the model raises.
    """
    names = [name for name in FOR_THE_MODEL if name in batch[0]]
    stacked = {name: torch.cat([inputs[name] for inputs in batch]) for name in names}
    try:
        with turn:
            outputs = model(**stacked, fusion=fusion, contour=contour)
    except torch.OutOfMemoryError as error:
        raise out_of_memory(stacked["infrared"]) from error
    return [
        MaeFuseOutput(**{name: value[place : place + 1] for name, value in outputs.items()})
        for place in range(len(batch))
    ]


def out_of_memory(images: Tensor) -> ValueError:
    """A sentence that says for what `(B, 1, H, W)` a GPU had too little memory, and what helps."""
    pairs, _, height, width = images.shape
    if pairs == 1:
        return ValueError(
            f"A pair of {width}×{height} pixels does not fit into the GPU's memory. Choose a smaller precision "
            "(--dtype float16) or the processor (--device cpu)."
        )
    return BatchMemoryError(
        f"{pairs} pairs of {width}×{height} pixels do not fit into the GPU's memory together. Give a smaller "
        "--batch-size. Images that are written already are not fused again."
    )


def fuse_in_strips(
    model: MaeFuseModel,
    processor: MaeFuseImageProcessor,
    infrared: Path | Image.Image,
    visible: Path | Image.Image,
    fusion: FusionStrategy = DEFAULT_FUSION,
    contour: Contour = DEFAULT_CONTOUR,
    turn: Turn = ANY_TIME,
    progress: bool = True,
    **overrides: Any,
) -> FusedInStrips:
    """The image of `fuse_pair`, of a pair of any size: besides the pair's pixels and the image, memory grows with its
    width and a small part of its area. For a processor that neither resizes nor keeps to 8 bits.

    Args:
        progress: show a bar.
        others: as in `fuse_pair`.

    Raises:
        OSError, ValueError: what `fuse_pair` raises.
    """
    pair = PairRows(processor, infrared, visible, **overrides)
    height, width = pair.size
    image, top = Image.new("RGB", (width, height)), 0
    strips = fused_strips(model, pair, fusion, contour)
    with tqdm(total=height, unit="row", disable=not progress) as bar:
        while top < height:
            with turn:
                luminance = next(strips)[0].cpu().numpy()
            require_finite(luminance)
            rgb = replace_luminance(pair.colours(top, top + luminance.shape[1]), luminance)
            image.paste(Image.fromarray(np.ascontiguousarray(np.moveaxis(rgb, 0, -1))), (0, top))
            top += luminance.shape[1]
            bar.update(luminance.shape[1])
    return FusedInStrips(pair, image)


def fuse_any_size(
    model: MaeFuseModel,
    processor: MaeFuseImageProcessor,
    infrared: Path | Image.Image,
    visible: Path | Image.Image,
    fusion: FusionStrategy = DEFAULT_FUSION,
    contour: Contour = DEFAULT_CONTOUR,
    turn: Turn = ANY_TIME,
    progress: bool = False,
    **overrides: Any,
) -> FusedPair | FusedInStrips:
    """`fuse_pair`, or of a pair of more than `LARGEST_HELD_WHOLE` pixels `fuse_in_strips`, where the processor lets it.

    Arguments are as in both.

    Raises:
        OSError, ValueError: what both raise.
    """
    if is_held_whole(processor, visible, **overrides):
        return fuse_pair(model, processor, infrared, visible, fusion, contour, turn, **overrides)
    return fuse_in_strips(model, processor, infrared, visible, fusion, contour, turn, progress, **overrides)


def is_held_whole(processor: MaeFuseImageProcessor, visible: Path | Image.Image, **overrides: Any) -> bool:
    """Whether a pair is small enough for `fuse_pair`, or the processor does what strips cannot."""
    settings = processor.settings(**overrides)
    resizes = settings["size"] is not None and settings["do_resize"] is not False
    return resizes or settings["eight_bit"] or pixel_count(visible) <= LARGEST_HELD_WHOLE


def pixel_count(image: Path | Image.Image) -> int:
    """How many pixels an image has; of a file by its header."""
    if isinstance(image, Image.Image):
        return image.width * image.height
    name = f"visible ({image})"
    with opened_file(image, name) as file, read_header(file, name) as header:
        return header.width * header.height
