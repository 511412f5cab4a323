# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""The guide: what the fused image of an undamaged pair is to look like, as a formula; a target for training."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .refinement import activity, gaussian_blur, split_detail


@dataclass(frozen=True)
class Guide:
    """The numbers of the guide, chosen with a detector and with VIF and Qabf (docs/experiments.md)."""

    activity_sigma: float = 16.0
    """Standard deviation in pixels of the Gaussian within which an image's activity is measured."""
    activity_floor: float = 2.0
    """Activity in grey values of 255 that counts as none."""
    infrared_share: float = 0.7
    """How much of infrared replaces visible where infrared alone is active."""
    detail_sigma: float = 3.0
    """Standard deviation in pixels of the Gaussian that parts structure from detail."""
    detail_sharpness: float = 8.0
    """Exponent of the activities of detail: the larger, the more the livelier image prevails."""
    detail_floor: float = 1.0
    """Activity of detail in grey values of 255 that counts as none: where both are flat, their noise is averaged."""


GUIDE = Guide()
"""The numbers that training uses."""


def guide(
    infrared: Tensor, visible: Tensor, numbers: Guide = GUIDE, seen: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """`V + w s (I - V)`, and on top of it the detail of the livelier image.

    The visible image is kept where it is active. Where infrared is the livelier one, `w = a_I^2 / (a_I^2 + a_V^2)` is
    near one, and a share s of infrared replaces visible there. G is a Gaussian of `activity_sigma` and
    `a_X^2 = G * (X - G * X)^2 + floor^2`. A body that is as bright as in the infrared image is found less often than
    one of softer contrast (docs/experiments.md).

    Args:
        infrared, visible: `(B, 1, H, W)` luminance in [0, 1].
        numbers: of the formula.
        seen: the same two images damaged. What damage hides is then shown by the other image: an activity is the
            lesser one of the undamaged and of the damaged image, for coarse structure and for detail.

    Returns:
        `(B, 1, H, W)` float32 luminance in [0, 1].
    """
    with torch.autocast(infrared.device.type, enabled=False):
        infrared, visible = infrared.float(), visible.float()
        sigma = numbers.activity_sigma
        contrasts = [split_detail(image, sigma)[1] for image in (infrared, visible)]
        weight = infrared_weight(contrasts, sigma, 2.0, numbers.activity_floor, seen)
        coarse = visible + weight * numbers.infrared_share * (infrared - visible)
        detail = (numbers.detail_sigma, numbers.detail_sharpness, numbers.detail_floor)
        return replace_detail(coarse, infrared, visible, *detail, seen).clamp(0, 1)


def replace_detail(
    fused: Tensor,
    infrared: Tensor,
    visible: Tensor,
    sigma: float,
    sharpness: float,
    floor: float,
    seen: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """`G * F + w (I - G * I) + (1 - w) (V - G * V)`: coarse structure of the first, detail of the livelier source.

    G is a Gaussian. The weight w of infrared's detail is that of `infrared_weight`: the choice by activity that
    multi-scale fusion has long made, here for the finest scale alone.

    Args:
        fused: `(B, 1, H, W)` luminance from the decoder.
        infrared, visible: `(B, 1, H, W)` luminance in [0, 1].
        sigma, sharpness, floor, seen: see `infrared_weight`.

    Returns:
        `(B, 1, H, W)` float32, not clipped.
    """
    # pixels would lose digits under autocast
    with torch.autocast(fused.device.type, enabled=False):
        details = [split_detail(image, sigma)[1] for image in (infrared, visible)]
        weight = infrared_weight(details, sigma, sharpness, floor, seen)
        return gaussian_blur(fused.float(), sigma) + weight * details[0] + (1 - weight) * details[1]


def infrared_weight(
    details: Sequence[Tensor],
    sigma: float,
    sharpness: float,
    floor: float,
    seen: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """`a_I^p / (a_I^p + a_V^p)` with the activities `a_X^2 = G * D_X^2 + floor^2`.

    Args:
        details: `D_X = X - G * X` of infrared and visible, `(B, 1, H, W)` float32 each.
        sigma: standard deviation of the Gaussian G in pixels.
        sharpness: p, how far the livelier source prevails.
        floor: activity that counts as none, in grey values of 255.
        seen: both images damaged, `(B, 1, H, W)` luminance in [0, 1]; of each the lesser activity counts.

    Returns:
        `(B, 1, H, W)` float32 in [0, 1].
    """
    activities = [activity(detail, sigma, floor) for detail in details]
    if seen is not None:
        left = [activity(split_detail(image, sigma)[1], sigma, floor) for image in seen]
        activities = [torch.minimum(*both) for both in zip(activities, left)]
    return (sharpness / 2 * (activities[0] / activities[1]).log()).sigmoid()
