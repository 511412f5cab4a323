# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Coarse structure from the whole image, and fine detail of the sources where the decoded image confirms it.

Not in the paper.
"""

from collections.abc import Sequence
from math import ceil, log

import torch
from torch import Tensor, nn

RADIUS_IN_SIGMAS = 3
"""Where a Gaussian is cut off."""

SMALLEST_BLOCK = 32
"""Pixels of a row that are convolved together at least."""

SOURCES = ("infrared", "visible", "decoded")
"""What the channels of details and of source weights stand for."""

BAND = (0.3, 1.2)
"""Shares of the Gaussian between which the contrast of sources and decoded image is compared."""

TRUST = ("decoded", "infrared")
"""What the channels of the trust stand for: in the decoded image beside both sources, in infrared beside visible."""


def split_detail(images: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """`G * X` and the detail `X - G * X` of each channel of `(B, C, H, W)`, G a Gaussian of `sigma` pixels; float32."""
    images = images.float()
    coarse = blurred(images, sigma)
    return coarse, images - coarse


def blurred(images: Tensor, sigma: float) -> Tensor:
    """`gaussian_blur` of each channel of `(B, C, H, W)`."""
    return gaussian_blur(images.flatten(0, 1)[:, None], sigma).view_as(images)


def livelier_source(
    of_infrared: Tensor,
    of_visible: Tensor,
    sigma: float,
    sharpness: float,
    floor: float,
    seen: Sequence[Tensor] = (),
) -> Tensor:
    """Which source is locally the livelier one: `p log(a_I / a_V)` with `a_X^2 = G * D_X^2 + floor^2`.

    Args:
        of_infrared, of_visible: `(B, 1, H, W)` float32 details D_I and D_V.
        sigma: standard deviation of the Gaussian G in pixels.
        sharpness: p, how far the livelier source prevails.
        floor: activity that counts as none, in grey values of 255.
        seen: the details of both images damaged, in training; of each source the lesser activity counts.

    Returns:
        `(B, 1, H, W)` logits, positive where infrared is the livelier one.
    """

    def activities(details: Sequence[Tensor]) -> list[Tensor]:
        return [gaussian_blur(detail.square(), sigma) + (floor / 255) ** 2 for detail in details]

    active = activities([of_infrared, of_visible])
    if seen:
        active = [torch.minimum(*both) for both in zip(active, activities(seen))]
    return sharpness / 2 * (active[0] / active[1]).log()


def with_contrast_of_decoded(details: Tensor, images: Tensor, sigma: float, largest: float, floor: float) -> Tensor:
    """The sources' details with the contrast that the decoded image has there, where that is more.

    Haze, glare and the like take a factor of a photo's contrast, which the decoder has learned to give back. So details
    are multiplied by the regression of the decoded image on the source around each pixel,

        g_X = (G' * (M_F M_X) + floor^2) / (G' * M_X^2 + floor^2),  1 at least

    of the bands `M = G'' * X - G' * X`, which the decoded image knows well: noise is finer. An image that is not veiled
    stays as it is, for the decoded image, which is softer, never takes contrast away.

    Args:
        details: `(B, 2, H, W)` float32 details `X - G * X` of infrared and visible.
        images: `(B, 3, H, W)` luminance as in `SOURCES`.
        sigma: standard deviation of G in pixels; of G' and G'' it is that times `BAND`.
        largest: bound of g.
        floor: contrast that counts as none, in grey values of 255.

    Returns:
        `(B, 2, H, W)` float32, infrared first.
    """
    images = images.float()
    narrow, wide = (blurred(images, share * sigma) for share in BAND)
    of_sources, of_decoded = (narrow - wide).split([2, 1], dim=1)
    shared = blurred(of_decoded * of_sources, BAND[1] * sigma)
    own = blurred(of_sources.square(), BAND[1] * sigma)
    flat = (floor / 255) ** 2
    return ((shared + flat) / (own + flat)).clamp(1.0, largest) * details


def source_weights(
    trust: Tensor,
    details: Tensor,
    sigma: float,
    sharpness: float,
    floor: float,
    limit: float,
    agreement: float,
    tolerance: float,
) -> Tensor:
    """What each image contributes to fine detail: that of a source as far as the decoded image confirms it.

    The network has seen both sources and the scene, so its own image D_F has neither noise nor what only one damaged
    sensor shows, but it is less sharp. The distance `d_X^2 = G * (D_X - D_F)^2 + floor^2` tells how far a source's
    detail is confirmed. The weights are the softmax of

        infrared  -q log d_I + (l + t_I) / 2
        visible   -q log d_V - (l + t_I) / 2
        decoded   -q log tolerance + t_F

    with q the `agreement`, l the logit of `livelier_source` bounded to `limit` (`L tanh(l / L)`), and the decoder's
    trust t as a correction. So a clean source keeps its sharpness, and where neither is confirmed the decoded image
    stays as it is.

    Args:
        trust: `(B, 2, H, W)` logits t_F and t_I, as in `TRUST`.
        details: `(B, 3, H, W)` float32 details D_I, D_V, D_F, as in `SOURCES`.
        sigma: standard deviation of the Gaussian G in pixels.
        sharpness, floor: see `livelier_source`.
        limit: how far liveliness alone may decide between the sources, as a logit.
        agreement: q, how sharply agreement decides.
        tolerance: distance at which a source and the decoded image count alike, in grey values of 255.

    Returns:
        `(B, 3, H, W)` float32 as in `SOURCES`, with a sum of one at each pixel.
    """
    # distances would lose digits under autocast
    with torch.autocast(trust.device.type, enabled=False):
        of_decoded, of_infrared = trust.float().split(1, dim=1)
        livelier = livelier_source(details[:, :1], details[:, 1:2], sigma, sharpness, floor)
        between = (of_infrared + limit * (livelier / limit).tanh()) / 2
        differences = (details[:, :2] - details[:, 2:]).square()
        distances = blurred(differences, sigma) + (floor / 255) ** 2
        confirmed = -agreement / 2 * distances.log() + torch.cat([between, -between], dim=1)
        own = of_decoded - agreement * log(tolerance / 255)
        return torch.cat([confirmed, own], dim=1).softmax(dim=1)


def take_detail(coarse: Tensor, details: Tensor, source_weights: Tensor) -> Tensor:
    """`G * F + w_I D_I + w_V D_V + w_F D_F`, F the decoded image and D the details of `split_detail`.

    What is coarser than G is the decoder's. What is finer comes from the images as they are weighed.

    Args:
        coarse: `(B, 1, H, W)` luminance G * F.
        details: `(B, 3, H, W)` as in `SOURCES`.
        source_weights: `(B, 3, H, W)` as in `SOURCES`, not negative, with a sum of one at each pixel.

    Returns:
        `(B, 1, H, W)` luminance, not clipped.
    """
    return coarse + (source_weights * details).sum(dim=1, keepdim=True)


def take_coarse_structure(decoded: Tensor, coarse: Tensor, sigma: float) -> Tensor:
    """`F - G * F + G * C`: what is coarser than a Gaussian G of the image C, what is finer of F.

    Args:
        decoded: F, `(B, 1, H, W)` luminance.
        coarse: C, the same scene as it is seen from farther away, `enlarged` to the same size.
        sigma: standard deviation of G in pixels.

    Returns:
        `(B, 1, H, W)` float32 luminance, not clipped.
    """
    with torch.autocast(decoded.device.type, enabled=False):
        return decoded + gaussian_blur(coarse.float() - decoded, sigma)


def enlarged(images: Tensor, factor: int) -> Tensor:
    """`(B, 1, h, w)` images `factor` times larger, bilinearly; float32."""
    return nn.functional.interpolate(images.float(), scale_factor=factor, mode="bilinear", align_corners=False)


def shrunk(images: Tensor, factor: int) -> Tensor:
    """`(B, 1, H, W)` images `factor` times smaller, sides rounded up, by means of areas."""
    return nn.functional.avg_pool2d(images, factor, ceil_mode=True)


def to_whole_patches(images: Tensor, patch_size: int) -> Tensor:
    """`(B, 1, H, W)` images padded at the bottom and on the right to whole patches, edges replicated."""
    bottom, right = (-side % patch_size for side in images.shape[-2:])
    return nn.functional.pad(images, (0, right, 0, bottom), mode="replicate")


def refinement_reach(sigma: float, gained: bool) -> int:
    """How many pixels away a refined pixel depends on: `source_weights` looks around at details, which depend on what
    is around them, farther where their contrast is that of the decoded image."""
    return blur_radius(sigma) + (2 * blur_radius(BAND[1] * sigma) if gained else blur_radius(sigma))


def blur_radius(sigma: float) -> int:
    """How many pixels a Gaussian of `sigma` pixels reaches."""
    return ceil(RADIUS_IN_SIGMAS * sigma)


def gaussian_blur(images: Tensor, sigma: float) -> Tensor:
    """`(B, 1, H, W)` convolved with a Gaussian of `sigma` pixels, edges replicated."""
    radius = blur_radius(sigma)
    places = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-((places / sigma) ** 2) / 2)
    kernel = kernel / kernel.sum()
    across = convolved_rows(images, kernel)
    return convolved_rows(across.transpose(-1, -2), kernel).transpose(-1, -2)


def convolved_rows(images: Tensor, kernel: Tensor) -> Tensor:
    """Rows of `(B, C, H, W)` convolved with a symmetric `kernel` of odd length, edges replicated.

    A row is taken in blocks, and each block with its surroundings times a banded matrix: a product of matrices is
    several times as fast as a convolution of one channel.
    """
    radius, width = len(kernel) // 2, images.shape[-1]
    if torch.compiler.is_exporting():
        # a graph for images of any width cannot know the number of blocks
        padded = nn.functional.pad(images, (radius, radius, 0, 0), mode="replicate")
        return nn.functional.conv2d(padded.flatten(0, 1)[:, None], kernel.view(1, 1, 1, -1)).view_as(images)
    block = max(SMALLEST_BLOCK, 2 * radius)
    count = -(-width // block)
    padded = nn.functional.pad(images, (radius, (count + 1) * block - width - radius, 0, 0), mode="replicate")
    blocks = padded.unflatten(-1, (count + 1, block))
    surrounded = torch.cat([blocks[..., :-1, :], blocks[..., 1:, : 2 * radius]], dim=-1)
    # from each pixel of the surroundings to each of the block
    offsets = torch.arange(block + 2 * radius, device=images.device)[:, None] - torch.arange(
        block, device=images.device
    )
    within = (offsets >= 0) & (offsets <= 2 * radius)
    band = torch.where(within, kernel[offsets.clamp(0, 2 * radius)], 0)
    return (surrounded @ band).flatten(-2)[..., :width]
