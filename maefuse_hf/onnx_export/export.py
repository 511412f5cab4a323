# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""A model as ONNX files in a folder, with what a program needs that runs them."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import onnx
from tqdm import tqdm

from ..colour import BT601_LUMINANCE
from ..image_processing_maefuse import MaeFuseImageProcessor
from ..modeling_maefuse import MaeFuseModel
from ..tiles import cover
from . import fuse_with_onnxruntime as runner
from .assembly import assembled
from .composition import Composition, composition
from .parts import export_network, export_surroundings
from .precision import in_float16, in_float32, in_int8

PRECISIONS = {"float32": in_float32, "float16": in_float16, "int8": in_int8}
"""How the network is stored and computed; all else is float32."""

LONGEST_CHECKED = 512
"""Lengths in cells for which tiles are checked; longer ones have the same distances."""


def export_onnx(
    model: MaeFuseModel,
    processor: MaeFuseImageProcessor,
    folder: Path,
    precisions: Sequence[str] = tuple(PRECISIONS),
) -> list[Path]:
    """Write `model.onnx`, `model_fp16.onnx`, `model_int8.onnx`, `maefuse_onnx.json` and a script that needs no PyTorch.

    The graphs take `infrared` and `visible`, `(B, 1, H, W)` float32 luminance in [0, 1], of any size, and give `fused`,
    the same. Padding, tiles and refinement are inside.

    Returns:
        The files, the ONNX files first.

    Raises:
        ValueError: if model or processor do something that the graph does not.
    """
    refuse_what_is_not_exported(model, processor)
    model = model.float().cpu().eval()
    config = model.config
    with tqdm(total=2 + len(precisions), desc="exporting", unit="part") as progress:
        network = export_network(model)
        progress.update()
        parts = export_surroundings(model)
        progress.update()
        numbers = Composition(model.patch_size, config.tile_size, config.tile_overlap, config.coarse_factor)
        around = composition(numbers)
        written = []
        for precision in precisions:
            path = folder / runner.FILES[precision]
            onnx.save(assembled(around, {"Network": PRECISIONS[precision](network), **parts}), path)
            written.append(path)
            progress.update()
    return written + write_runner(processor, folder, precisions)


def write_runner(processor: MaeFuseImageProcessor, folder: Path, precisions: Sequence[str]) -> list[Path]:
    """What a program needs beside the graphs, and a program."""
    needed = {
        "inputs": ["infrared", "visible"],
        "output": "fused",
        "luminance": BT601_LUMINANCE,
        "percentiles": processor.percentiles,
        "files": {precision: runner.FILES[precision] for precision in precisions},
    }
    settings, script = folder / runner.SETTINGS, folder / Path(runner.__file__).name
    settings.write_text(json.dumps(needed, indent=2) + "\n", encoding="utf-8")
    shutil.copyfile(runner.__file__, script)
    return [settings, script]


def refuse_what_is_not_exported(model: MaeFuseModel, processor: MaeFuseImageProcessor) -> None:
    """Raise a `ValueError` for what the graph and the script do not do."""
    settings = processor.to_dict()
    if settings.get("size") is not None or processor.eight_bit or processor.resize_colour:
        raise ValueError(
            "This checkpoint resizes images or holds them in 8 bits between all steps, which the ONNX graph does not. "
            "Convert it with `maefuse convert --native`, and export that."
        )
    side, overlap = model.config.tile_size, model.config.tile_overlap
    if side is None:
        return
    for length in range(1, LONGEST_CHECKED):
        begins, tile = cover(length, side, overlap)
        if any(later < begin + tile for begin, later in zip(begins, begins[2:])):
            raise ValueError(
                f"Tiles of {side} cells that overlap by {overlap} put a place into three tiles; the ONNX graph blends "
                f"two. Set `tile_overlap` to a third of `tile_size` at most."
            )
