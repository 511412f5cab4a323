# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Fuse an infrared and a visible image with onnxruntime, numpy and Pillow alone: no PyTorch, no transformers.

    pip install onnxruntime numpy pillow
    python fuse_with_onnxruntime.py infrared.png visible.png fused.png

This file lies beside the ONNX files that `maefuse export onnx` writes; `MaeFuseOnnx` can be imported from it.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as errors
from PIL import Image, ImageOps

SETTINGS = "maefuse_onnx.json"
FILES = {"float32": "model.onnx", "float16": "model_fp16.onnx", "int8": "model_int8.onnx"}
WHITE = 255
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # other readers of Pillow start programs
ERRORS = 3  # of onnxruntime's levels; it warns of every float16 operator that it runs in float32
UNREADABLE = (errors.Fail, errors.InvalidGraph, errors.InvalidProtobuf, errors.NotImplemented)
REFUSED = (errors.Fail, errors.InvalidArgument, errors.RuntimeException)


def read_settings(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """What an export says of itself; an `OSError` if the folder is none."""
    settings = Path(folder) / SETTINGS
    if not settings.is_file():
        raise OSError(f"{folder} is no ONNX export: there is no {SETTINGS}. Make one: maefuse export onnx {folder}")
    return json.loads(settings.read_text(encoding="utf-8"))


class MaeFuseOnnx:
    """A folder of `maefuse export onnx`, ready to fuse.

    Args:
        folder: the folder.
        precision: `float32`, `float16` or `int8`, of those that the folder has.
        providers: as in `onnxruntime.InferenceSession`; by default all that this onnxruntime has.
        threads: of the processor, for each operator; 0 leaves it to onnxruntime, which takes one for each core.

    Raises:
        OSError: if the folder is no export, or has no such precision.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        precision: str = "float32",
        providers: Sequence[str] | None = None,
        threads: int = 0,
    ) -> None:
        self.settings = read_settings(folder)
        files = self.settings["files"]
        if precision not in files:
            raise OSError(f"{folder} has no {precision}; it has {', '.join(files)}. Choose one of these.")
        path = Path(folder) / files[precision]
        if not path.is_file():
            raise OSError(
                f"{path} is missing, although {SETTINGS} names it. Export again: maefuse export onnx {folder}"
            )
        options = onnxruntime.SessionOptions()
        options.log_severity_level = ERRORS
        options.intra_op_num_threads = threads
        chosen = providers or onnxruntime.get_available_providers()
        try:
            self.session = onnxruntime.InferenceSession(path, options, providers=chosen)
        except UNREADABLE as error:
            raise OSError(f"{path} cannot be read ({error}). Export again: maefuse export onnx {folder}") from error

    def fuse(
        self, infrared: str | os.PathLike[str] | Image.Image, visible: str | os.PathLike[str] | Image.Image
    ) -> Image.Image:
        """The fused image: RGB, with the visible image's colours (its Cb and Cr).

        Raises:
            OSError: if a file is missing or no image.
            ValueError: if the images are not of one size, or onnxruntime cannot fuse them.
        """
        heat, colour = (self.read(image) for image in (infrared, visible))
        if heat.shape != colour.shape:
            raise ValueError(
                f"infrared is {heat.shape[1]}x{heat.shape[0]} pixels, visible {colour.shape[1]}x{colour.shape[0]}. "
                "They must show the same view at one size: resize infrared first."
            )
        colour = np.rint(colour * WHITE).astype(np.float32) / WHITE
        return self.in_colours(self.fuse_luminance(self.luminance(heat), self.luminance(colour)), colour)

    def in_colours(self, fused: np.ndarray, colour: np.ndarray) -> Image.Image:
        """Fused luminance (H, W) with Cb and Cr of (H, W, 3), both in [0, 1], as RGB."""
        # the same step for R, G and B keeps Cb and Cr
        pixels = np.rint((colour + (fused - self.luminance(colour))[..., None]) * WHITE).clip(0, WHITE)
        return Image.fromarray(pixels.astype(np.uint8))

    def fuse_luminance(self, infrared: np.ndarray, visible: np.ndarray) -> np.ndarray:
        """Two luminances (H, W) in [0, 1] to the fused one; a `ValueError` where onnxruntime cannot."""
        first, second = self.settings["inputs"]
        inputs = {first: infrared[None, None].astype(np.float32), second: visible[None, None].astype(np.float32)}
        try:
            return self.session.run([self.settings["output"]], inputs)[0][0, 0]
        except REFUSED as error:
            height, width = infrared.shape
            why = " ".join(str(error).split())
            raise ValueError(
                f"onnxruntime cannot fuse {width}x{height} pixels ({why}). Try smaller images, another precision, or "
                "export again: maefuse export onnx"
            ) from error

    def luminance(self, rgb: np.ndarray) -> np.ndarray:
        """Y of BT.601 of (H, W, 3)."""
        red_weight, _, blue_weight = self.settings["luminance"]
        red, green, blue = np.moveaxis(rgb, -1, 0)
        # in this form grey keeps its own value exactly
        return green + np.float32(red_weight) * (red - green) + np.float32(blue_weight) * (blue - green)

    def read(self, image: str | os.PathLike[str] | Image.Image) -> np.ndarray:
        """(H, W, 3) float32 in [0, 1]; an image of more than 8 bits from one percentile to the other."""
        opened = image if isinstance(image, Image.Image) else Image.open(image, formats=FORMATS)
        opened = ImageOps.exif_transpose(opened)
        if opened.mode[0] in "IF":
            pixels = np.asarray(opened).astype(np.float32)
            low, high = np.percentile(pixels, self.settings["percentiles"])
            unit = ((pixels - low) / max(high - low, np.finfo(np.float32).tiny)).clip(0, 1)
            return np.repeat(unit[..., None], 3, axis=2).astype(np.float32)
        return np.asarray(opened.convert("RGB")).astype(np.float32) / WHITE


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Fuse an infrared and a visible image with onnxruntime.")
    parser.add_argument("infrared")
    parser.add_argument("visible")
    parser.add_argument("output")
    parser.add_argument("--folder", default=Path(__file__).parent, help="folder of `maefuse export onnx`")
    parser.add_argument("--precision", choices=FILES, default="float32")
    options = parser.parse_args()
    try:
        MaeFuseOnnx(options.folder, options.precision).fuse(options.infrared, options.visible).save(options.output)
    except (OSError, ValueError) as error:
        print(f"fuse_with_onnxruntime: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
