# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""What is done to the decoder's image with the two sources at hand: contrast given back, and the sources' own detail.

None of this is in the paper. With a blend in place of a network's image it is `rule`, a fusion without parameters.
"""

from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor, nn

RADIUS_IN_SIGMAS = 3
"""Where a Gaussian is cut off."""


@dataclass(frozen=True)
class Refinement:
    """The numbers of the refinement, chosen with pixel formulas (docs/experiments.md)."""

    darker_weight: float | None = 0.7
    """How much the darker source counts beside the brighter one in the blend. None leaves the contrast as it is."""
    contrast_outliers: float = 0.005
    """Share of the pixels at either end of the grey values that may leave [0, 1]: lamps and the sun need not fit."""
    detail_sigma: float | None = 3.0
    """Standard deviation in pixels of the Gaussian that parts structure from detail. None takes the decoder's."""
    detail_sharpness: float = 8.0
    """Exponent of the activities: the larger, the more the livelier source prevails."""
    detail_floor: float = 1.0
    """Activity in grey values of 255 that counts as none: where both sources are flat, their noise is averaged."""

    @property
    def contrast_gain(self) -> float:
        """`1 + w`, the contrast that a blend with the weight w of the darker source takes from either source."""
        return 1 + (self.darker_weight or 0.0)

    @property
    def changes_pixels(self) -> bool:
        """Whether any step is left in."""
        return self.darker_weight is not None or self.detail_sigma is not None


RULE = Refinement()
"""The numbers of the rule."""


def rule(infrared: Tensor, visible: Tensor, numbers: Refinement = RULE) -> Tensor:
    """The refined blend of two images: fusion by a formula, which a network has to surpass.

    Args:
        infrared, visible: `(B, 1, H, W)` luminance in [0, 1].
        numbers: of the blend and its refinement.

    Returns:
        `(B, 1, H, W)` float32 luminance in [0, 1].
    """
    infrared, visible = infrared.float(), visible.float()
    return refine(blend(infrared, visible, numbers.darker_weight or 0.0), infrared, visible, numbers).clamp(0, 1)


def blend(infrared: Tensor, visible: Tensor, darker_weight: float) -> Tensor:
    """`(max(V, I) + w min(V, I)) / (1 + w)` of `(B, 1, H, W)` luminance, w the `darker_weight`."""
    return (torch.maximum(visible, infrared) + darker_weight * torch.minimum(visible, infrared)) / (1 + darker_weight)


def refine(decoded: Tensor, infrared: Tensor, visible: Tensor, numbers: Refinement) -> Tensor:
    """The decoder's image with its contrast given back, and then with the two sources' own fine detail.

    Args:
        decoded, infrared, visible: `(B, 1, H, W)` luminance, without padding, which would count as content.
        numbers: of both steps; a step whose number is None is left out.

    Returns:
        `(B, 1, H, W)` float32 luminance, not clipped.
    """
    if numbers.darker_weight is not None:
        decoded = restore_contrast(decoded, numbers.contrast_gain, numbers.contrast_outliers)
    if numbers.detail_sigma is not None:
        decoded = replace_detail(
            decoded, infrared, visible, numbers.detail_sigma, numbers.detail_sharpness, numbers.detail_floor
        )
    return decoded


def restore_contrast(fused: Tensor, gain: float, outliers: float) -> Tensor:
    """`m + g (F - mean of F)`: grey values spread about their mean as far as [0, 1] has room for them.

    A mixture `(a X + b Y) / (a + b)` of two images shows what stands in one alone with the contrast a / (a + b) or
    b / (a + b) only. g is `gain`, or what makes all but `outliers` of the pixels at either end span [0, 1] where that
    is less; m is the mean of F, moved no further than it takes to have them inside. Correlations with other images
    stay as they are.

    Args:
        fused: `(B, 1, H, W)` luminance.
        gain: how much contrast may grow at most, 1 or more.
        outliers: share of the pixels at either end that may leave [0, 1].

    Returns:
        `(B, 1, H, W)`, not clipped.
    """
    values = fused.flatten(1)
    outside = int(outliers * values.shape[1])
    darkest, brightest, mean = (
        statistic.view(-1, 1, 1, 1)
        for statistic in (
            values.kthvalue(1 + outside).values,
            values.kthvalue(values.shape[1] - outside).values,
            values.mean(dim=1),
        )
    )
    spread = 1 / (brightest - darkest).clamp(min=1 / gain)
    at_darkest, at_brightest = spread * (darkest - mean), spread * (brightest - mean)
    return spread * (fused - mean) + mean.maximum(-at_darkest).minimum(1 - at_brightest)


def replace_detail(
    fused: Tensor, infrared: Tensor, visible: Tensor, sigma: float, sharpness: float, floor: float
) -> Tensor:
    """`G * F + w (I - G * I) + (1 - w) (V - G * V)`: coarse structure of the first, detail of the livelier source.

    G is a Gaussian. The weight of infrared's detail is `w = a_I^p / (a_I^p + a_V^p)`, p the `sharpness`, with each
    source's local activity `a_X^2 = G * (X - G * X)^2 + floor^2`: the choice by activity that multi-scale fusion has
    long made, here for the finest scale alone.

    Args:
        fused: `(B, 1, H, W)` luminance from the decoder.
        infrared, visible: `(B, 1, H, W)` luminance in [0, 1].
        sigma: standard deviation of G in pixels.
        sharpness: exponent of the activities.
        floor: activity that counts as none, in grey values of 255.

    Returns:
        `(B, 1, H, W)` float32, not clipped.
    """
    # pixels would lose digits under autocast
    with torch.autocast(fused.device.type, enabled=False):
        details = [image.float() - gaussian_blur(image.float(), sigma) for image in (infrared, visible)]
        of_infrared, of_visible = details
        activities = [gaussian_blur(detail.square(), sigma) + (floor / 255) ** 2 for detail in details]
        weight = (sharpness / 2 * (activities[0] / activities[1]).log()).sigmoid()
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
