"""Metrics on grey-level histograms: entropy and mutual information."""

import math

import torch
from torch import Tensor

from .inputs import FusionMetric, as_images, chosen

_GREY_LEVELS = 256


def entropy(fused: Tensor) -> Tensor:
    """EN: the entropy of the grey levels, −Σ pₖ log₂ pₖ over the 256-bin histogram, in bits.

    Values are rounded to whole grey levels (halves to even). Source: Shannon 1948; for fused images Roberts, van
    Aardt and Ahmed, J. Appl. Remote Sens. 2 (2008). Noise raises it.

    Args:
        fused: luminance (B, 1, H, W) in 0…255.

    Returns:
        (B,) float64 in 0 (one grey level) … 8 (all levels equally often). Higher is better.

    Raises:
        ValueError: an image that `check_images` refuses.
    """
    (image,) = as_images(fused=fused)
    return _entropy(_histogram(_grey_levels(image), _GREY_LEVELS)) / math.log(2)


def mutual_information(fused: Tensor, infrared: Tensor, visible: Tensor, *, definition: str = "standard") -> Tensor:
    """MI: I(fused; infrared) + I(fused; visible), from 256×256 joint histograms, in bits.

    I(a; b) = H(a) + H(b) − H(a, b), after rounding to whole grey levels (halves to even). Source: Qu, Zhang and Yan,
    Electronics Letters 38 (2002). A fused image equal to a source reaches that source's entropy in one term.

    Args:
        fused, infrared, visible: luminance (B, 1, H, W) in 0…255.
        definition: "standard"; "cddfuse" and "vifb" are the same in nats.

    Returns:
        (B,) float64 in 0 … 2·EN(fused) ≤ 16. Higher is better.

    Raises:
        ValueError: an image that `check_images` refuses, or an unknown definition.
    """
    images = as_images(fused=fused, infrared=infrared, visible=visible)
    return chosen("MI", _MUTUAL_INFORMATION, definition)(*images)


def _in_bits(fused: Tensor, infrared: Tensor, visible: Tensor) -> Tensor:
    return _in_nats(fused, infrared, visible) / math.log(2)


def _in_nats(fused: Tensor, infrared: Tensor, visible: Tensor) -> Tensor:
    levels = _grey_levels(fused)
    return _shared(levels, _grey_levels(infrared)) + _shared(levels, _grey_levels(visible))


_MUTUAL_INFORMATION: dict[str, FusionMetric] = {"standard": _in_bits, "cddfuse": _in_nats, "vifb": _in_nats}


def _grey_levels(image: Tensor) -> Tensor:
    return image.round().long().flatten(1)


def _shared(first: Tensor, second: Tensor) -> Tensor:
    """I(first; second) in nats of two images in whole grey levels, (B, H·W) each → (B,)."""
    pairs = _histogram(first * _GREY_LEVELS + second, _GREY_LEVELS**2)
    joint = pairs.unflatten(1, (_GREY_LEVELS, _GREY_LEVELS))
    information = _entropy(joint.sum(dim=2)) + _entropy(joint.sum(dim=1)) - _entropy(pairs)
    # Independent images leave a rounding error of either sign.
    return information.clamp(min=0)


def _histogram(codes: Tensor, bins: int) -> Tensor:
    """The share of each code in 0…bins−1, per image: (B, N) → (B, bins)."""
    batch, pixels = codes.shape
    own_range = torch.arange(batch, device=codes.device)[:, None] * bins
    counts = torch.bincount((codes + own_range).flatten(), minlength=batch * bins)
    return counts.view(batch, bins).to(torch.float64) / pixels


def _entropy(shares: Tensor) -> Tensor:
    """Entropy in nats, (B, bins) → (B,)."""
    return torch.special.entr(shares).sum(dim=1)
