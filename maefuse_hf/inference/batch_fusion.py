# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Several pairs of files to fused images, those of one size in one call of the model."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from transformers.feature_extraction_utils import BatchFeature

from ..image_processing_maefuse import MaeFuseImageProcessor
from ..modeling_maefuse import MaeFuseModel
from ..strategies import DEFAULT_CONTOUR, DEFAULT_FUSION, Contour, FusionStrategy
from .file_fusion import FilePath, FusedFiles, OpenedFiles, open_files
from .pair_fusion import (
    ANY_TIME,
    BatchMemoryError,
    FusedInStrips,
    FusedPair,
    Turn,
    fuse_in_strips,
    is_held_whole,
    outputs_of,
)

Problem: TypeAlias = OSError | ValueError
"""What is wrong with one pair."""


def fuse_batch(
    model: MaeFuseModel,
    processor: MaeFuseImageProcessor,
    batch: Iterable[Sequence[FilePath]],
    *,
    fusion: FusionStrategy = DEFAULT_FUSION,
    contour: Contour = DEFAULT_CONTOUR,
    turn: Turn = ANY_TIME,
    progress: bool = False,
    **settings: Any,
) -> list[FusedFiles | Problem]:
    """`fuse_files` of several pairs: those that are of one size after processing in one call of the model.

    Pairs so large that they are fused in strips are fused alone.

    Args:
        batch: of each pair the infrared file and, unless it holds one itself, the photo.
        others: as in `fuse_files`.

    Returns:
        For each pair what `fuse_files` gives, or what it would raise.

    Raises:
        BatchMemoryError: pairs of one size do not fit into a GPU's memory together.
    """
    opened: dict[int, OpenedFiles] = {}
    inputs: dict[int, BatchFeature] = {}
    fused: dict[int, FusedPair | FusedInStrips] = {}
    results: dict[int, FusedFiles | Problem] = {}
    for place, files in enumerate(batch):
        with problems_in(results, [place]):
            pair = open_files(processor, *files, **settings)
            opened[place], images = pair, (pair.infrared, pair.visible)
            if is_held_whole(processor, pair.visible, **pair.overrides):
                given = processor(*images, return_tensors="pt", **pair.overrides)
                inputs[place] = given.to(model.device)
            else:
                fused[place] = fuse_in_strips(
                    model, processor, *images, fusion, contour, turn, progress, **pair.overrides
                )

    for places in of_one_size(inputs):
        with problems_in(results, places):
            together = outputs_of(model, [inputs[place] for place in places], fusion, contour, turn)
            for place, outputs in zip(places, together, strict=True):
                with problems_in(results, [place]):
                    image = processor.post_process_image_fusion(outputs, inputs[place])[0]
                    fused[place] = FusedPair(inputs[place], outputs, image)

    for place, each in fused.items():
        with problems_in(results, [place]):
            results[place] = opened[place].finished(each)
    return [results[place] for place in sorted(results)]


@contextmanager
def problems_in(results: dict[int, FusedFiles | Problem], places: Sequence[int]) -> Iterator[None]:
    """Put what is wrong with the pairs at these places there, and go on."""
    try:
        yield
    except BatchMemoryError:
        raise
    except (OSError, ValueError) as error:
        results.update(dict.fromkeys(places, error))


def of_one_size(inputs: Mapping[int, BatchFeature]) -> list[list[int]]:
    """The places of pairs that the model takes in one call: of one size before and after padding."""
    by_size: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for place, pair in inputs.items():
        before_padding = pair.get("resized_sizes", pair["original_sizes"])[0].tolist()
        by_size[*before_padding, *pair["infrared"].shape].append(place)
    return list(by_size.values())
