"""The hot-target measure: what a fused image keeps of the infrared's hot regions and of the visible's gradient."""

import torch
from torch import Tensor

from .inputs import as_images, is_flat, settled

# Two grey levels, one of them hot on a fifth of the image, are the limit of what this many deviations single out.
_HOT_DEVIATIONS = 2
# Half the side of a neighbourhood, as a share of the longer side of the image.
_NEIGHBOURHOOD = 1 / 16
_PIXELS = (1, 2, 3)


def hot_target_survival(
    fused: Tensor, infrared: Tensor, visible: Tensor, *, allow_undefined: bool = False
) -> dict[str, Tensor]:
    """How much of the infrared's hot regions, and of the visible's gradient, is there in the fused image.

    Hot are the infrared pixels above mean + 2·SD of their image; the rest is cold. The neighbourhood of a pixel is
    the square around it, cut at the border, that reaches 1/16 of the longer side (rounded, at least 1 px) in each
    direction.

    `hot_contrast`: around each hot pixel that has a cold one in its neighbourhood, the contrast c of an image is its
    mean over the hot pixels of that neighbourhood minus its mean over the cold ones. The measure is
    Σ clip(c_F, 0, c_I) / Σ c_I: a target that is lost or inverted counts 0, one that is amplified counts 1 and makes
    up for no other, and noise averages out over the neighbourhood.

    `visible_gradient`: around each pixel, s_V sums the length |∇V| of the visible image's gradient over the
    neighbourhood, s_F the fused image's gradient along the visible's direction, ∇F·∇V / |∇V|. The measure is
    Σ clip(s_F, 0, s_V) / Σ s_V. Gradients are central differences as in `average_gradient`.

    Both are this project's own; no published number compares with them.

    Args:
        fused, infrared, visible: luminance (B, 1, H, W) in 0…255.
        allow_undefined: give NaN, not an error, for an infrared image without hot pixels or a visible one without
            gradient.

    Returns:
        `hot_contrast` and `visible_gradient`, (B,) float64 each, in 0 (lost) … 1 (all there: reached by the infrared
        and by the visible image respectively). Higher is better.

    Raises:
        ValueError: an image that `check_images` refuses, no hot pixel, or a visible image without contrast.
    """
    fused, infrared, visible = as_images(fused=fused, infrared=infrared, visible=visible)
    reach = max(1, round(max(fused.shape[2:]) * _NEIGHBOURHOOD))
    contrast = _hot_contrast(fused, infrared, reach)
    gradient = _visible_gradient(fused, visible, reach)
    hot = f"infrared pixels above mean + {_HOT_DEVIATIONS}·SD"
    return {
        "hot_contrast": settled("hot_contrast", contrast, hot, fused, allow_undefined),
        "visible_gradient": settled(
            "visible_gradient", gradient, "a visible image with contrast", fused, allow_undefined
        ),
    }


def _hot_contrast(fused: Tensor, infrared: Tensor, reach: int) -> Tensor:
    threshold = infrared.mean(dim=_PIXELS, keepdim=True) + _HOT_DEVIATIONS * infrared.std(
        dim=_PIXELS, correction=0, keepdim=True
    )
    hot = (infrared > threshold) & ~is_flat(infrared)[:, None, None, None]
    measured = hot & (_sum_around((~hot).to(infrared.dtype), reach) > 0)
    of_infrared = _contrast_around(infrared, hot, reach)
    of_fused = _contrast_around(fused, hot, reach)
    return _surviving_share(of_fused, of_infrared, measured)


def _contrast_around(image: Tensor, hot: Tensor, reach: int) -> Tensor:
    """Mean over the hot pixels around each pixel minus mean over the cold ones; NaN where there are none."""
    return _mean_around(image, hot, reach) - _mean_around(image, ~hot, reach)


def _mean_around(image: Tensor, chosen: Tensor, reach: int) -> Tensor:
    weight = chosen.to(image.dtype)
    return _sum_around(image * weight, reach) / _sum_around(weight, reach)


def _visible_gradient(fused: Tensor, visible: Tensor, reach: int) -> Tensor:
    down, right = torch.gradient(visible, dim=(2, 3))
    fused_down, fused_right = torch.gradient(fused, dim=(2, 3))
    length = (down.square() + right.square()).sqrt()
    along = (fused_down * down + fused_right * right) / torch.where(length > 0, length, 1.0)
    everywhere = ~is_flat(visible)[:, None, None, None]
    return _surviving_share(_sum_around(along, reach), _sum_around(length, reach), everywhere)


def _surviving_share(kept: Tensor, original: Tensor, measured: Tensor) -> Tensor:
    """Σ clip(kept, 0, original) / Σ original over the measured pixels, (B, 1, H, W) → (B,); NaN if there are none."""
    surviving = torch.minimum(kept.clamp(min=0), original)
    total = torch.where(measured, original, 0).sum(dim=_PIXELS)
    return torch.where(measured, surviving, 0).sum(dim=_PIXELS) / total


def _sum_around(image: Tensor, reach: int) -> Tensor:
    """Sum over the square of 2·reach + 1 px around each pixel, cut at the border. Keeps (B, 1, H, W)."""
    for dim in (2, 3):
        length = image.shape[dim]
        running = torch.cat((torch.zeros_like(image.narrow(dim, 0, 1)), image.cumsum(dim)), dim)
        places = torch.arange(length, device=image.device)
        last = (places + reach + 1).clamp(max=length)
        first = (places - reach).clamp(min=0)
        image = running.index_select(dim, last) - running.index_select(dim, first)
    return image
