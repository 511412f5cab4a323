# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Luminance to what the encoder takes, and what the decoder predicts for each patch back to luminance."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .colour import BT601_LUMINANCE, WHITE


def normalized(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """`(B, 1, H, W)` luminance to float32 `(B, channels, H, W)`: repeated, centred and scaled.

    Args:
        mean, std: one number for each of the encoder's channels.
    """
    channels = images.float().expand(-1, len(mean), -1, -1)
    return (channels - by_channel(mean, channels)) / by_channel(std, channels)


def patches_to_pixels(patches: Tensor, grid: tuple[int, int], patch_size: int) -> Tensor:
    """`(B, rows * columns, patch * patch * C)` to float32 `(B, C, rows * patch, columns * patch)`."""
    patches = patches.float().unflatten(1, grid).unflatten(-1, (patch_size, patch_size, -1))
    return patches.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)


def channels_to_luminance(channels: Tensor, mean: Sequence[float], std: Sequence[float], truncate: bool) -> Tensor:
    """Channels normalised as by `normalized` to `(B, 1, H, W)` luminance.

    Args:
        truncate: each channel is clipped to [0, 1] and cut down to whole 255ths first; the gradient passes as if it
            were not.
    """
    channels = channels * by_channel(std, channels)
    channels = channels + by_channel(mean, channels)
    if truncate:
        channels = channels + (truncated_to_8_bit(channels) - channels).detach()
    if channels.shape[1] == 1:
        return channels
    return (channels * by_channel(BT601_LUMINANCE, channels)).sum(dim=1, keepdim=True)


def truncated_to_8_bit(values: Tensor) -> Tensor:
    """Values clipped to [0, 1] and cut down to whole 255ths."""
    return (values * WHITE).clamp(0, WHITE).floor() / WHITE


def by_channel(values: Sequence[float], like: Tensor) -> Tensor:
    """One number for each channel as `(1, channels, 1, 1)`, dtype and device of `like`."""
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(1, -1, 1, 1)
