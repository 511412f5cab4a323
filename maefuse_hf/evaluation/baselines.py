# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""What costs nothing: each source alone, their average and maximum, and the rule of pixel formulas."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..contrast import with_restored_contrast
from ..detail import with_own_detail

VISIBLE_ALONE, INFRARED_ALONE, AVERAGE, MAXIMUM, RULE = (
    "visible alone",
    "infrared alone",
    "average",
    "maximum",
    "rule",
)

DARKER_WEIGHT = 0.7
DETAIL_SIGMA = 3.0

Formula = Callable[[Tensor, Tensor], Tensor]


def rule(infrared: Tensor, visible: Tensor) -> Tensor:
    """`(max + 0.7 min) / 1.7` with its contrast restored by 1.7 at most and the sources' own detail by activity.

    Args:
        infrared, visible: luminance `(B, 1, H, W)` in [0, 1].

    Returns:
        `(B, 1, H, W)`, not clipped.
    """
    gain = 1 + DARKER_WEIGHT
    blend = (torch.maximum(infrared, visible) + DARKER_WEIGHT * torch.minimum(infrared, visible)) / gain
    return with_own_detail(with_restored_contrast(blend, gain), infrared, visible, DETAIL_SIGMA)


def average_with_detail(infrared: Tensor, visible: Tensor) -> Tensor:
    """The average with the sources' own detail by activity; shapes as in `rule`."""
    return with_own_detail((infrared + visible) / 2, infrared, visible, DETAIL_SIGMA)


def on_grey_levels(formula: Formula) -> Formula:
    """A formula on [0, 1] as one from uint8 to uint8, rounded and clipped."""

    def on_levels(infrared: Tensor, visible: Tensor) -> Tensor:
        fused = formula(infrared.float() / 255, visible.float() / 255)
        return (fused * 255).round().clamp(0, 255).to(torch.uint8)

    return on_levels


BASELINES: dict[str, Formula] = {
    VISIBLE_ALONE: lambda infrared, visible: visible,
    INFRARED_ALONE: lambda infrared, visible: infrared,
    AVERAGE: lambda infrared, visible: ((infrared.double() + visible.double()) / 2).round().to(torch.uint8),
    MAXIMUM: torch.maximum,
    RULE: on_grey_levels(rule),
}
"""What needs no network: from infrared and visible luminance, uint8, to an image of the same kind."""

SOURCES_ALONE = frozenset({VISIBLE_ALONE, INFRARED_ALONE})
