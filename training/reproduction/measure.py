"""What trained models make of crops they were not trained on: the loss terms and the block effect, and images."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from maefuse_hf import MaeFuseModel
from maefuse_hf.losses import fusion_terms
from maefuse_hf.strategies import FusionStrategy
from training.block_effect import block_effect
from training.config import DataConfig
from training.crops import centre_crop
from training.data import checked_pairs, names_in_file
from training.reproduction.study import Study
from training.validation import whole_crops

TERMS = {"intensity": 1.0, "gradient": 1.0, "laplacian": 1.0}
"""The terms of Eq. 4 and of the authors' code."""

Pair = tuple[Tensor, Tensor]
"""Infrared and visible, `(B, 1, H, W)` luminance in [0, 1]."""


def crop_size(study: Study) -> int:
    """Side of the study's crops in pixels."""
    return int(study.setting.training["data"]["crop_size"])


def validation_crops(study: Study) -> Pair:
    """The middle crops of the validation pairs, on which the logged curves are measured too."""
    pairs = checked_pairs(DataConfig(pairs=str(study.pairs), crop_size=crop_size(study)))
    named = set(names_in_file(str(study.validation_names)))
    crops = [centre_crop(pairs[k], crop_size(study)) for k, name in enumerate(pairs.names) if name in named]
    return torch.stack(crops)[:, :1], torch.stack(crops)[:, 1:]


def shown_pair(study: Study, number: int = 0) -> Pair:
    """A rendered pair as the runs' own samples show it."""
    pairs = checked_pairs(DataConfig(pairs=str(study.rendered), crop_size=crop_size(study)))
    crop = whole_crops(pairs[number], crop_size(study))
    return crop[:1, None], crop[1:, None]


@torch.inference_mode()
def decoded(folder: Path | str, pair: Pair, fusion: FusionStrategy = "mfm") -> Tensor:
    """What the model in a folder makes of a pair: `(B, 1, H, W)`, not clipped."""
    model = MaeFuseModel.from_pretrained(folder)
    return model(*pair, fusion=fusion).decoded


def terms_of(image: Tensor, pair: Pair, patch_size: int) -> dict[str, float]:
    """Loss terms and block effect of `(B, 1, H, W)` images, means over the batch."""
    terms = {name: value.item() for name, value in fusion_terms(image, *pair, TERMS).items()}
    return {**terms, "block effect": block_effect(image, patch_size).nanmean().item()}


def grey(image: Tensor) -> Image.Image:
    """The first image of `(B, 1, H, W)` in [0, 1], clipped."""
    levels = (image[0, 0].clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(levels.cpu().numpy())
