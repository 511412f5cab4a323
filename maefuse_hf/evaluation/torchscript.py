# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Another method's network, as a TorchScript file that takes and gives luminance."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ..inference.pairs import PairPaths
from .runner import Fused, as_luminance, as_tensor, read_sources


class TorchScriptSystem:
    """A file that `torch.jit.load` reads.

    Called with infrared and visible luminance `(1, 1, H, W)` in [0, 1], it gives fused luminance of the same form,
    which is clipped.

    Args:
        name: how tables call it.
        path: of the file.
        device: where it runs.

    Raises:
        OSError: no such file.
        ValueError: a file that is no TorchScript.
    """

    def __init__(self, name: str, path: Path, device: torch.device) -> None:
        if not path.is_file():
            raise OSError(f"{name}: there is no file {path}.")
        try:
            self._network = torch.jit.load(path, map_location=device).eval()
        except RuntimeError as error:
            raise ValueError(f"{name}: {path} is no TorchScript file that can be loaded: {error}") from error
        self.name = name
        self._device = device

    def fuse(self, dataset: str, pair: PairPaths) -> Fused:
        """Its luminance of the pair, see `System`."""
        sources = read_sources(pair)
        fused = self.fuse_images(sources["infrared"], sources["visible"])
        return Fused(fused, fused)

    @torch.inference_mode()
    def fuse_images(self, infrared: Image.Image, visible: Image.Image) -> Image.Image:
        """Its luminance of two 8-bit images of one size; a `ValueError` where it gives another shape or NaN."""
        sources = [as_tensor(image, self._device).float() / 255 for image in (infrared, visible)]
        fused: Tensor = self._network(*sources)
        if fused.shape != sources[0].shape or not bool(fused.isfinite().all()):
            raise ValueError(
                f"{self.name} gave a tensor {tuple(fused.shape)}, NaN or infinity among it or not, for images "
                f"{tuple(sources[0].shape)}; it must give finite luminance of the same shape."
            )
        return as_luminance((fused * 255).round().clamp(0, 255).to(torch.uint8))
