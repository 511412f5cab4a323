# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""One pair of images through processor, model and back."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers.feature_extraction_utils import BatchFeature

from ..image_processing_maefuse import MaeFuseImageProcessor
from ..modeling_maefuse import MaeFuseModel, MaeFuseOutput
from ..strategies import DEFAULT_CONTOUR, DEFAULT_FUSION, Contour, FusionStrategy


@dataclass(frozen=True)
class FusedPair:
    """What went into the model, what came out, and the fused image: RGB, of the visible image's size."""

    inputs: BatchFeature
    outputs: MaeFuseOutput
    image: Image.Image


@torch.inference_mode()
def fuse_pair(
    model: MaeFuseModel,
    processor: MaeFuseImageProcessor,
    infrared: Path | Image.Image,
    visible: Path | Image.Image,
    fusion: FusionStrategy = DEFAULT_FUSION,
    contour: Contour = DEFAULT_CONTOUR,
    **overrides: Any,
) -> FusedPair:
    """Fuse one pair on the model's device; `fusion` and `contour` go to the model, `overrides` to the processor.

    Raises:
        OSError, ValueError: what processor and model raise for images that cannot be used.
    """
    inputs = processor(infrared=infrared, visible=visible, return_tensors="pt", **overrides).to(model.device)
    outputs = model(**inputs, fusion=fusion, contour=contour)
    return FusedPair(inputs, outputs, processor.post_process_image_fusion(outputs, inputs)[0])
