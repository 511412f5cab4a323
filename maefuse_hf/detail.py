# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Fine detail of the two images themselves in place of what the decoder makes of it; not in the paper."""

from math import ceil

import torch
from torch import Tensor, nn

RADIUS_IN_SIGMAS = 3
"""Where a Gaussian is cut off."""

SHARPNESS = 8
"""Exponent of the activities: the larger, the more the livelier image has its way."""

FLAT = 1 / 255
"""Activity that counts as none, one grey value: where both images are flat, their noise is averaged."""


def with_own_detail(fused: Tensor, infrared: Tensor, visible: Tensor, sigma: float) -> Tensor:
    """`G * F + w (I - G * I) + (1 - w) (V - G * V)`: coarse structure of the first, detail of the livelier source.

    G is a Gaussian. The weight of infrared's detail is `w = a_I^p / (a_I^p + a_V^p)`, p the `SHARPNESS`, with each
    image's local activity `a_X^2 = G * (X - G * X)^2 + FLAT^2`: the choice by activity that multi-scale fusion has
    long made, here for the finest scale alone.

    Args:
        fused: `(B, 1, H, W)` luminance from the decoder.
        infrared, visible: `(B, 1, H, W)` luminance in [0, 1].
        sigma: standard deviation of G in pixels.

    Returns:
        `(B, 1, H, W)` float32, not clipped.
    """
    # pixels would lose digits under autocast
    with torch.autocast(fused.device.type, enabled=False):
        details = [image.float() - gaussian_blur(image.float(), sigma) for image in (infrared, visible)]
        of_infrared, of_visible = details
        activities = [gaussian_blur(detail.square(), sigma) + FLAT**2 for detail in details]
        weight = (SHARPNESS / 2 * (activities[0] / activities[1]).log()).sigmoid()
        return gaussian_blur(fused, sigma) + weight * of_infrared + (1 - weight) * of_visible


def gaussian_blur(images: Tensor, sigma: float) -> Tensor:
    """`(B, 1, H, W)` convolved with a Gaussian of `sigma` pixels, edges replicated."""
    radius = ceil(RADIUS_IN_SIGMAS * sigma)
    places = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-((places / sigma) ** 2) / 2)
    kernel = kernel / kernel.sum()
    padded = nn.functional.pad(images, (radius, radius, radius, radius), mode="replicate")
    across = nn.functional.conv2d(padded, kernel.view(1, 1, 1, -1))
    return nn.functional.conv2d(across, kernel.view(1, 1, -1, 1))
