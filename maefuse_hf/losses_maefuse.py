# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""The paper's losses (Eq. 4 and 5) as pure functions. Luminance is `(B, 1, H, W)`, nominally in [0, 1]."""

import torch
from torch import Tensor, nn


def sobel(luminance: Tensor) -> Tensor:
    """Sobel gradient `(g_x, g_y)` of `(B, 1, H, W)` luminance, edges replicated; `(B, 2, H, W)`."""
    across = luminance.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
    kernels = torch.stack([across, across.T])[:, None]
    padded = nn.functional.pad(luminance, (1, 1, 1, 1), mode="replicate")
    return nn.functional.conv2d(padded, kernels)


def gradient_magnitude(luminance: Tensor) -> Tensor:
    """Sobel gradient magnitude `|g_x| + |g_y|`, edges replicated.

    Args:
        luminance: `(B, 1, H, W)`.

    Returns:
        `(B, 1, H, W)`, not negative; a step of one grey value gives at most eight of it.
    """
    return sobel(luminance).abs().sum(dim=1, keepdim=True)


def intensity_loss(fused: Tensor, infrared: Tensor, visible: Tensor) -> Tensor:
    """Intensity term of Eq. 4, `|F - max(V, I)|` averaged over pixels and batch; a scalar."""
    return (fused - torch.maximum(visible, infrared)).abs().mean()


def gradient_loss(fused: Tensor, infrared: Tensor, visible: Tensor) -> Tensor:
    """Gradient term of Eq. 4, `||grad F| - max(|grad V|, |grad I|)|` averaged over pixels and batch; a scalar."""
    target = torch.maximum(gradient_magnitude(visible), gradient_magnitude(infrared))
    return (gradient_magnitude(fused) - target).abs().mean()


def alignment_loss(features: Tensor, infrared_features: Tensor, visible_features: Tensor) -> Tensor:
    """Eq. 5, the mean squared distance of `(B, tokens, hidden)` features to the mean of both modalities'; a scalar."""
    return ((infrared_features + visible_features) / 2 - features).square().mean()
