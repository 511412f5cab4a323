# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""VIF without the reward for stretched contrast."""

from torch import Tensor

from .inputs import as_images
from .similarity import visual_information_fidelity


def matched_to_sources(fused: Tensor, infrared: Tensor, visible: Tensor) -> Tensor:
    """The fused image with the sources' brightness and contrast: `s (F − mean F) / deviation of F + m`, clipped.

    m and s are the mean of the two sources' means and of their deviations. A flat fused image stays flat, at m.

    Args:
        fused, infrared, visible: luminance (B, 1, H, W) in 0…255.

    Returns:
        (B, 1, H, W) float64.

    Raises:
        ValueError: images that `check_images` refuses.
    """
    images = as_images(fused=fused, infrared=infrared, visible=visible)
    means = [image.mean(dim=(1, 2, 3), keepdim=True) for image in images]
    deviations = [image.std(dim=(1, 2, 3), correction=0, keepdim=True) for image in images]
    spread = (deviations[1] + deviations[2]) / 2 / deviations[0].clamp(min=1e-9)
    return (spread * (images[0] - means[0]) + (means[1] + means[2]) / 2).clamp(0, 255)


def matched_visual_information_fidelity(
    fused: Tensor, infrared: Tensor, visible: Tensor, *, allow_undefined: bool = False
) -> Tensor:
    """VIF of `matched_to_sources`: plain VIF grows when a method stretches contrast, this one does not.

    Args, result and errors are those of `visual_information_fidelity`.
    """
    matched = matched_to_sources(fused, infrared, visible)
    return visual_information_fidelity(matched, infrared, visible, allow_undefined=allow_undefined)
