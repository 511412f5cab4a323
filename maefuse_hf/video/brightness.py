# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""The same thing keeps its brightness from frame to frame."""

import torch
from torch import Tensor, nn

from ..refinement import gaussian_blur
from .infrared_range import share

CELL = 8
"""Pixels a side over which brightness is averaged; finer structure stays as it was fused."""

CELL_SIGMA = 1.0
"""Standard deviation of the Gaussian over these averages, in cells."""

STILL, CHANGED = 2 / 255, 6 / 255
"""Change of the sources' brightness, infrared's and visible's added, up to which a place counts as unchanged, and from
which on as another."""


class BrightnessSmoother:
    """A recursive filter of the fused image's coarse brightness, open where the sources change.

    A network judges the whole scene: where a hot object crosses it, walls far away come out in another brightness,
    though neither source has changed there. With C the averages over cells and F, I, V the fused, infrared and visible
    image of a frame, the smoothed image is

        F + up(S - C F),  S <- S + a (C F - S),  R <- R + a (C (I, V) - R),  a = g + (1 - g) (1 - exp(-d / T)),

    where g rises from 0 to 1 as C I and C V leave their reference R by `STILL` to `CHANGED`, d is the time since the
    last frame and up enlarges. So brightness is held where the sources stay as they were, and follows at once where
    they change. A sequence without change comes out as it came in.

    Args:
        seconds: time constant T; 0 leaves every frame as it is.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.brightness: Tensor | None = None
        self.reference: Tensor | None = None

    def smooth(self, fused: Tensor, infrared: Tensor, visible: Tensor, passed: float) -> Tensor:
        """The next frame of a video, smoothed.

        Args:
            fused, infrared, visible: `(1, 1, H, W)` luminance in [0, 1]. Where the size changes, the video starts anew.
            passed: seconds since the last frame.

        Returns:
            `(1, 1, H, W)` float32 luminance in [0, 1].
        """
        if self.seconds <= 0:
            return fused
        brightness, sources = cell_means(fused), cell_means(torch.cat([infrared, visible]))
        if self.brightness is None or self.reference is None or self.brightness.shape != brightness.shape:
            self.brightness, self.reference = brightness, sources
            return fused
        change = (sources - self.reference).abs().sum(dim=0, keepdim=True)
        gate = ((change - STILL) / (CHANGED - STILL)).clamp(0, 1)
        weight = gate + (1 - gate) * share(passed, self.seconds)
        self.brightness = self.brightness + weight * (brightness - self.brightness)
        self.reference = self.reference + weight * (sources - self.reference)
        step = nn.functional.interpolate(self.brightness - brightness, scale_factor=float(CELL), mode="bilinear")
        height, width = fused.shape[-2:]
        return (fused.float() + step[..., :height, :width]).clamp(0, 1)


def cell_means(images: Tensor) -> Tensor:
    """`(B, 1, H, W)` averaged over cells and blurred a little: `(B, 1, H / CELL, W / CELL)`, rounded up."""
    means = nn.functional.avg_pool2d(images.float(), CELL, ceil_mode=True)
    return gaussian_blur(means, CELL_SIGMA)
