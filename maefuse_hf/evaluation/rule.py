# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""The rule: a fusion without parameters, which a network has to surpass."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..guide import GUIDE, replace_detail


@dataclass(frozen=True)
class Rule:
    """The numbers of the rule, chosen with pixel formulas (docs/experiments-0.1.0.md)."""

    darker_weight: float = 0.7
    """How much the darker source counts beside the brighter one in the blend."""
    contrast_outliers: float = 0.005
    """Share of the pixels at either end of the grey values that may leave [0, 1]: lamps and the sun need not fit."""
    detail_sigma: float = GUIDE.detail_sigma
    """Standard deviation in pixels of the Gaussian that parts structure from detail."""
    detail_sharpness: float = GUIDE.detail_sharpness
    """Exponent of the activities: the larger, the more the livelier source prevails."""
    detail_floor: float = GUIDE.detail_floor
    """Activity in grey values of 255 that counts as none: where both sources are flat, their noise is averaged."""


RULE = Rule()
"""The numbers with which results are given."""


def rule(infrared: Tensor, visible: Tensor, numbers: Rule = RULE) -> Tensor:
    """The blend of two images, its lost contrast given back, and the detail of the livelier source.

    Args:
        infrared, visible: `(B, 1, H, W)` luminance in [0, 1].
        numbers: of the three steps.

    Returns:
        `(B, 1, H, W)` float32 luminance in [0, 1].
    """
    infrared, visible = infrared.float(), visible.float()
    blended = blend(infrared, visible, numbers.darker_weight)
    # the blend (a X + b Y) / (a + b) leaves this share of what stands in the brighter source alone
    contrasted = restore_contrast(blended, 1 + numbers.darker_weight, numbers.contrast_outliers)
    detail = (numbers.detail_sigma, numbers.detail_sharpness, numbers.detail_floor)
    return replace_detail(contrasted, infrared, visible, *detail).clamp(0, 1)


def blend(infrared: Tensor, visible: Tensor, darker_weight: float) -> Tensor:
    """`(max(V, I) + w min(V, I)) / (1 + w)` of `(B, 1, H, W)` luminance, w the `darker_weight`."""
    return (torch.maximum(visible, infrared) + darker_weight * torch.minimum(visible, infrared)) / (1 + darker_weight)


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
