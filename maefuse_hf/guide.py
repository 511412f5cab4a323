# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""The guide: what the fused image of an undamaged pair is to look like, as a formula; a target for training."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .refinement import gaussian_blur, livelier_source, split_detail


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


def guide(infrared: Tensor, visible: Tensor, numbers: Guide = GUIDE, seen: Sequence[Tensor] = ()) -> Tensor:
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
        sigma, floor = numbers.activity_sigma, numbers.activity_floor
        of_infrared, of_visible = details_of((infrared, visible), sigma)
        # a sharpness of two is the ratio of squares
        weight = livelier_source(of_infrared, of_visible, sigma, 2.0, floor, details_of(seen, sigma)).sigmoid()
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
    seen: Sequence[Tensor] = (),
) -> Tensor:
    """`G * F + w (I - G * I) + (1 - w) (V - G * V)`: coarse structure of the first, detail of the livelier source.

    G is a Gaussian. The weight of infrared's detail is `w = a_I^p / (a_I^p + a_V^p)`, with the activities a_X of
    `livelier_source`: the choice by activity that multi-scale fusion has long made, here for the finest scale alone.

    Args:
        fused: `(B, 1, H, W)` luminance from the decoder.
        infrared, visible: `(B, 1, H, W)` luminance in [0, 1].
        sigma, sharpness, floor: see `livelier_source`; p is the `sharpness`.
        seen: the sources damaged; of each the lesser activity counts.

    Returns:
        `(B, 1, H, W)` float32, not clipped.
    """
    # pixels would lose digits under autocast
    with torch.autocast(fused.device.type, enabled=False):
        of_infrared, of_visible = details_of((infrared, visible), sigma)
        weight = livelier_source(of_infrared, of_visible, sigma, sharpness, floor, details_of(seen, sigma)).sigmoid()
        return gaussian_blur(fused.float(), sigma) + weight * of_infrared + (1 - weight) * of_visible


def details_of(images: Sequence[Tensor], sigma: float) -> list[Tensor]:
    """`X - G * X` of each `(B, 1, H, W)` image, float32."""
    return [split_detail(image, sigma)[1] for image in images]
