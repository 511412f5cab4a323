# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""The contrast that an image of two loses, given back over the whole image; not in the paper."""

from torch import Tensor

CLIPPED = 0.005
"""Share of the pixels at either end of the grey values that may leave [0, 1]: lamps and the sun need not fit."""


def with_restored_contrast(fused: Tensor, gain: float) -> Tensor:
    """`m + g (F - mean of F)`: grey values spread about their mean as far as [0, 1] has room for them.

    A mixture `(a X + b Y) / (a + b)` of two images shows what stands in one alone with the contrast a / (a + b) or
    b / (a + b) only. g is `gain`, or what makes all but `CLIPPED` of the pixels at either end span [0, 1] where that
    is less; m is the mean of F, moved no further than it takes to have them inside. Correlations with other images
    stay as they are.

    Args:
        fused: `(B, 1, H, W)` luminance.
        gain: how much contrast may grow at most, 1 or more.

    Returns:
        `(B, 1, H, W)`, not clipped.
    """
    values = fused.flatten(1)
    outside = int(CLIPPED * values.shape[1])
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
