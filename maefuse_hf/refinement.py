# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Fine detail from whichever image the decoder trusts at each pixel: infrared, visible or its own; not in the paper."""

from math import ceil

import torch
from torch import Tensor, nn

RADIUS_IN_SIGMAS = 3
"""Where a Gaussian is cut off."""

SOURCES = ("infrared", "visible", "decoded")
"""What the channels of the source weights stand for."""


def take_detail(decoded: Tensor, source_weights: Tensor, infrared: Tensor, visible: Tensor, sigma: float) -> Tensor:
    """`G * F + w_I (I - G * I) + w_V (V - G * V) + w_F (F - G * F)`, F the decoded image and G a Gaussian.

    What is coarser than G is the decoder's. What is finer comes from the image that the decoder trusts, so that a
    clean source keeps its sharpness and the noise of a damaged one stays out.

    Args:
        decoded, infrared, visible: `(B, 1, H, W)` luminance.
        source_weights: `(B, 3, H, W)` as in `SOURCES`, not negative, with a sum of one at each pixel.
        sigma: standard deviation of G in pixels.

    Returns:
        `(B, 1, H, W)` float32 luminance, not clipped.
    """
    # pixels would lose digits under autocast
    with torch.autocast(decoded.device.type, enabled=False):
        images = torch.cat([infrared, visible, decoded], dim=1).float()
        coarse = gaussian_blur(images.flatten(0, 1)[:, None], sigma).view_as(images)
        detail = (source_weights.float() * (images - coarse)).sum(dim=1, keepdim=True)
        return coarse[:, -1:] + detail


def gaussian_blur(images: Tensor, sigma: float) -> Tensor:
    """`(B, 1, H, W)` convolved with a Gaussian of `sigma` pixels, edges replicated."""
    radius = ceil(RADIUS_IN_SIGMAS * sigma)
    places = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-((places / sigma) ** 2) / 2)
    kernel = kernel / kernel.sum()
    padded = nn.functional.pad(images, (radius, radius, radius, radius), mode="replicate")
    across = nn.functional.conv2d(padded, kernel.view(1, 1, 1, -1))
    return nn.functional.conv2d(across, kernel.view(1, 1, -1, 1))
