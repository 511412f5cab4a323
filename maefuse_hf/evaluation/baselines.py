# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""What costs nothing: each source alone, their average and maximum, and the rule of pixel formulas."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..guide import replace_detail
from .rule import RULE as NUMBERS
from .rule import rule

VISIBLE_ALONE, INFRARED_ALONE, AVERAGE, MAXIMUM, RULE = (
    "visible alone",
    "infrared alone",
    "average",
    "maximum",
    "rule",
)

Formula = Callable[[Tensor, Tensor], Tensor]


def average_with_detail(infrared: Tensor, visible: Tensor) -> Tensor:
    """The average with the sources' own detail by activity, and without restored contrast.

    Args:
        infrared, visible: luminance `(B, 1, H, W)` in [0, 1].

    Returns:
        `(B, 1, H, W)`, not clipped.
    """
    average = (infrared + visible) / 2
    detail = (NUMBERS.detail_sigma, NUMBERS.detail_sharpness, NUMBERS.detail_floor)
    return replace_detail(average, infrared, visible, *detail)


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
