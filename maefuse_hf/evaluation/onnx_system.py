# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""A model that was exported as ONNX, run without PyTorch."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..colour import to_uint8
from ..inference.pairs import PairPaths
from .provenance import file_sha256
from .runner import Fused, read_sources

PROCESSOR_ONLY = ("CPUExecutionProvider",)


class OnnxSystem:
    """A file of `maefuse export onnx`, run by `MaeFuseOnnx` on the processor with as many threads as PyTorch has.

    Sources are read in 8 bits, as `read_source` does it.

    Args:
        name: how tables call it.
        path: of the file, which lies in the folder that the export wrote.

    Attributes:
        runner: the `MaeFuseOnnx`.
        sha256: of the file.

    Raises:
        OSError: if there is no such file, it is broken, or its folder is no export.
        ValueError: for a file that is not the export's, a folder, or without onnxruntime.
    """

    def __init__(self, name: str, path: Path) -> None:
        try:
            from ..onnx_export.fuse_with_onnxruntime import MaeFuseOnnx, read_settings
        except ImportError as error:
            raise ValueError(
                f'{name}: an ONNX file needs {error.name}, which is not installed. Run pip install "maefuse-hf[onnx]".'
            ) from error
        if not path.exists():
            raise FileNotFoundError(f"{name}: there is no file {path}. Make it: maefuse export onnx {path.parent}")
        files = read_settings(path if path.is_dir() else path.parent)["files"]
        precisions = {file: precision for precision, file in files.items()}
        if path.name not in precisions:
            what = "is a folder" if path.is_dir() else "is none of the files of its export"
            raise ValueError(f"{name}: {path} {what}; name one of {', '.join(precisions)}.")
        self.name = name
        self.path = path
        self.precision = precisions[path.name]
        self.runner = MaeFuseOnnx(path.parent, self.precision, PROCESSOR_ONLY, torch.get_num_threads())
        self.sha256 = file_sha256(path)

    def fuse(self, dataset: str, pair: PairPaths) -> Fused:
        """Its image of the pair in the visible image's colours, and its luminance, see `System`."""
        infrared, visible = map(self.runner.read, read_sources(pair).values())
        fused = self.fused_luminance(infrared, visible)
        return Fused(self.runner.in_colours(fused, visible), Image.fromarray(to_uint8(fused)))

    def fuse_images(self, infrared: Image.Image, visible: Image.Image) -> Image.Image:
        """Its luminance of two 8-bit images of one size, see `LiveSystem`."""
        fused = self.fused_luminance(self.runner.read(infrared), self.runner.read(visible))
        return Image.fromarray(to_uint8(fused))

    def fused_luminance(self, infrared: np.ndarray, visible: np.ndarray) -> np.ndarray:
        """Fused luminance `(H, W)` of two `(H, W, 3)` in [0, 1].

        Raises:
            ValueError: where onnxruntime cannot fuse them, or gives NaN or infinity.
        """
        fused = self.runner.fuse_luminance(self.runner.luminance(infrared), self.runner.luminance(visible))
        if not np.isfinite(fused).all():
            raise ValueError(f"{self.name} gave NaN or infinity; export in float32 to see whether the precision does.")
        return fused
