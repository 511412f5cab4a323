# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Coarse structure from the whole image, and fine detail from whichever image the decoder trusts; not in the paper."""

from math import ceil

import torch
from torch import Tensor, nn

RADIUS_IN_SIGMAS = 3
"""Where a Gaussian is cut off."""

SOURCES = ("infrared", "visible", "decoded")
"""What the channels of the source weights stand for."""

TRUST = ("decoded", "infrared")
"""What the channels of the trust stand for: in the decoded image beside both sources, in infrared beside visible."""


def livelier_source(
    infrared: Tensor, visible: Tensor, sigma: float, sharpness: float, floor: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Which source is locally the livelier one: `p log(a_I / a_V)` with `a_X^2 = G * (X - G * X)^2 + floor^2`.

    Args:
        infrared, visible: `(B, 1, H, W)` float32 luminance.
        sigma: standard deviation of the Gaussian G in pixels.
        sharpness: p, how far the livelier source prevails.
        floor: activity that counts as none, in grey values of 255.

    Returns:
        `(B, 1, H, W)` logits, positive where infrared is the livelier one, and both sources' details `X - G * X`.
    """
    of_infrared, of_visible = (image - gaussian_blur(image, sigma) for image in (infrared, visible))
    activities = [gaussian_blur(detail.square(), sigma) + (floor / 255) ** 2 for detail in (of_infrared, of_visible)]
    return sharpness / 2 * (activities[0] / activities[1]).log(), of_infrared, of_visible


def source_weights(
    trust: Tensor,
    infrared: Tensor,
    visible: Tensor,
    sigma: float,
    sharpness: float,
    floor: float,
    limit: float | None = None,
) -> Tensor:
    """What each image contributes to fine detail: `w_F = s(t_F)`, `w_I = (1 - w_F) s(t_I + l)` and what is left for
    visible, with s the logistic function and l the logit of `livelier_source`.

    Without an opinion, t_I = 0, the livelier source prevails, as in `guide.replace_detail`. Noise is lively too, so
    the decoder has to say where a source is not to be trusted. With a `limit` L it is heard however lively the noise:
    l becomes `L tanh(l / L)`.

    Args:
        trust: `(B, 2, H, W)` logits t_F and t_I, as in `TRUST`.
        infrared, visible: `(B, 1, H, W)` luminance.
        sigma, sharpness, floor: see `livelier_source`.
        limit: how far liveliness alone may decide, as a logit; without it there is no bound.

    Returns:
        `(B, 3, H, W)` float32 as in `SOURCES`, with a sum of one at each pixel.
    """
    # activities would lose digits under autocast
    with torch.autocast(trust.device.type, enabled=False):
        trust = trust.float()
        livelier, _, _ = livelier_source(infrared.float(), visible.float(), sigma, sharpness, floor)
        if limit is not None:
            livelier = limit * (livelier / limit).tanh()
        of_decoded = trust[:, :1].sigmoid()
        of_infrared = (trust[:, 1:] + livelier).sigmoid()
        return torch.cat([(1 - of_decoded) * of_infrared, (1 - of_decoded) * (1 - of_infrared), of_decoded], dim=1)


def take_detail(decoded: Tensor, source_weights: Tensor, infrared: Tensor, visible: Tensor, sigma: float) -> Tensor:
    """`G * F + w_I (I - G * I) + w_V (V - G * V) + w_F (F - G * F)`, F the decoded image and G a Gaussian.

    What is coarser than G is the decoder's. What is finer comes from the image that the decoder trusts, so that a
    clean source keeps its sharpness and the noise of a damaged one stays out.

    Args:
        decoded, infrared, visible: `(B, 1, H, W)` luminance.
        source_weights: `(B, 3, H, W)` as in `SOURCES`, not negative, with a sum of one at each pixel.
        sigma: standard deviation of G in pixels.

    Returns:
        `(B, 1, H, W)` float32 luminance, not clipped.
    """
    # pixels would lose digits under autocast
    with torch.autocast(decoded.device.type, enabled=False):
        images = torch.cat([infrared, visible, decoded], dim=1).float()
        coarse = gaussian_blur(images.flatten(0, 1)[:, None], sigma).view_as(images)
        detail = (source_weights.float() * (images - coarse)).sum(dim=1, keepdim=True)
        return coarse[:, -1:] + detail


def take_coarse_structure(decoded: Tensor, coarse: Tensor, factor: int, sigma: float) -> Tensor:
    """`F - G * F + G * C`: what is coarser than a Gaussian G of the image C, what is finer of F.

    Args:
        decoded: F, `(B, 1, H, W)` luminance.
        coarse: the same scene `factor` times smaller, `(B, 1, h, w)` with at least `H / factor` rows and `W / factor`
            columns; what lies beyond is padding.
        factor: how many pixels of F make one of C.
        sigma: standard deviation of G in pixels of F.

    Returns:
        `(B, 1, H, W)` float32 luminance, not clipped.
    """
    with torch.autocast(decoded.device.type, enabled=False):
        enlarged = nn.functional.interpolate(coarse.float(), scale_factor=factor, mode="bilinear", align_corners=False)
        height, width = decoded.shape[-2:]
        return decoded + gaussian_blur(enlarged[..., :height, :width] - decoded, sigma)


def shrunk(images: Tensor, factor: int) -> Tensor:
    """`(B, 1, H, W)` images `factor` times smaller, sides rounded up, by means of areas."""
    return nn.functional.avg_pool2d(images, factor, ceil_mode=True)


def to_whole_patches(images: Tensor, patch_size: int) -> Tensor:
    """`(B, 1, H, W)` images padded at the bottom and on the right to whole patches, edges replicated."""
    bottom, right = (-side % patch_size for side in images.shape[-2:])
    return nn.functional.pad(images, (0, right, 0, bottom), mode="replicate")


def gaussian_blur(images: Tensor, sigma: float) -> Tensor:
    """`(B, 1, H, W)` convolved with a Gaussian of `sigma` pixels, edges replicated."""
    radius = ceil(RADIUS_IN_SIGMAS * sigma)
    places = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-((places / sigma) ** 2) / 2)
    kernel = kernel / kernel.sum()
    padded = nn.functional.pad(images, (radius, radius, radius, radius), mode="replicate")
    across = nn.functional.conv2d(padded, kernel.view(1, 1, 1, -1))
    return nn.functional.conv2d(across, kernel.view(1, 1, -1, 1))
