"""Metrics on windows that slide over fused image and source: SSIM, MS-SSIM and VIF."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad, threshold

from .inputs import FusionMetric, as_images, chosen, is_flat, settled, where_sides_reach

_GREY_RANGE = 255
_LUMINANCE_CONSTANT, _CONTRAST_CONSTANT = 0.01, 0.03
_SSIM_WINDOW, _SSIM_SIGMA = 11, 1.5
_UNIFORM_WINDOW, _UNIFORM_RANGE = 7, 2

# Exponents of the scales, fine to coarse (Wang, Simoncelli and Bovik 2003).
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_SMALLEST_FOR_SCALES = (_SSIM_WINDOW - 1) * 2 ** (len(_SCALE_WEIGHTS) - 1) + 1

# Windows of VIF's scales, fine to coarse; the width of a Gaussian is a fifth of its window.
_VIF_WINDOWS = (17, 9, 5, 3)
_VIF_SIGMA_PER_WINDOW = 1 / 5
_VISUAL_NOISE = 2.0
_NO_VARIANCE = 1e-10
# The least side that leaves the coarsest scale one whole window.
_SMALLEST_FOR_VIF = 41


def structural_similarity(
    fused: Tensor,
    infrared: Tensor,
    visible: Tensor,
    *,
    definition: str = "standard",
    allow_undefined: bool = False,
) -> Tensor:
    """SSIM: (SSIM(F, I) + SSIM(F, V)) / 2.

    Per window (2 μₓμᵧ + C₁)(2 σₓᵧ + C₂) / ((μₓ² + μᵧ² + C₁)(σₓ² + σᵧ² + C₂)), with an 11×11 Gaussian of σ 1.5,
    C₁ = (0.01·255)², C₂ = (0.03·255)², averaged over the windows that lie inside the image. Source: Wang, Bovik,
    Sheikh and Simoncelli, IEEE Trans. Image Processing 13 (2004).

    Args:
        fused, infrared, visible: luminance (B, 1, H, W) in 0…255.
        definition: "standard"; "vifb" adds the two sources instead of averaging; "cddfuse" adds them too, with a 7×7
            window of equal weights, sample (n − 1) variances and 2 in the place of 255.
        allow_undefined: give NaN, not an error, for images smaller than the window.

    Returns:
        (B,) float64 in −1…1 (1: fused and both sources are equal). Higher is better.

    Raises:
        ValueError: an image that `check_images` refuses or that is smaller than 11 px a side, or an unknown
            definition.
    """
    images = as_images(fused=fused, infrared=infrared, visible=visible)
    values = where_sides_reach(_SSIM_WINDOW, chosen("SSIM", _STRUCTURAL_SIMILARITY, definition), images)
    return settled("SSIM", values, f"at least {_SSIM_WINDOW} px a side", images[0], allow_undefined)


def multi_scale_structural_similarity(
    fused: Tensor, infrared: Tensor, visible: Tensor, *, allow_undefined: bool = False
) -> Tensor:
    """MS-SSIM: (MS-SSIM(F, I) + MS-SSIM(F, V)) / 2.

    The product, over five scales, of the mean contrast-structure term (at the coarsest scale the mean SSIM), each to
    its weight 0.0448, 0.2856, 0.3001, 0.2363, 0.1333. Windows and constants as in `structural_similarity`. Scales
    follow each other by means of 2×2 pixels; an odd side is first lengthened by its last row or column. A negative
    mean counts as 0. Source: Wang, Simoncelli and Bovik, Asilomar 2003.

    Args:
        fused, infrared, visible: luminance (B, 1, H, W) in 0…255.
        allow_undefined: give NaN, not an error, for images too small for five scales.

    Returns:
        (B,) float64 in 0…1 (1: fused and both sources are equal). Higher is better.

    Raises:
        ValueError: an image that `check_images` refuses or that is smaller than 161 px a side.
    """
    images = as_images(fused=fused, infrared=infrared, visible=visible)
    values = where_sides_reach(_SMALLEST_FOR_SCALES, _ms_ssim_mean, images)
    return settled("MS-SSIM", values, f"at least {_SMALLEST_FOR_SCALES} px a side", images[0], allow_undefined)


def visual_information_fidelity(
    fused: Tensor, infrared: Tensor, visible: Tensor, *, allow_undefined: bool = False
) -> Tensor:
    """VIF: VIF(I → F) + VIF(V → F), each the pixel-domain version of visual information fidelity.

    Per window F is modelled as g·source + noise of variance σᵥ²; VIF is Σ ln(1 + g²σₛ² / (σᵥ² + 2)) over
    Σ ln(1 + σₛ² / 2), both sums over all windows inside the image of four scales, whose Gaussians are 17, 9, 5 and
    3 px wide with σ a fifth of that; before each coarser scale the image is smoothed by that scale's Gaussian and
    every second pixel kept. Source: Sheikh and Bovik, IEEE Trans. Image Processing 15 (2006), in the simplified form
    that its authors published with it.

    Args:
        fused, infrared, visible: luminance (B, 1, H, W) in 0…255.
        allow_undefined: give NaN, not an error, for a source without contrast or images too small.

    Returns:
        (B,) float64, 0 or more: 2 where fused and both sources are equal, 1 + VIF of the other source where it equals
        one, more where contrast is raised. Higher is better.

    Raises:
        ValueError: an image that `check_images` refuses or that is smaller than 41 px a side, or a source without
            contrast.
    """
    images = as_images(fused=fused, infrared=infrared, visible=visible)
    values = where_sides_reach(_SMALLEST_FOR_VIF, _vif_sum, images)
    needs = f"sources with contrast, and at least {_SMALLEST_FOR_VIF} px a side"
    return settled("VIF", values, needs, images[0], allow_undefined)


class _Moments(NamedTuple):
    """Weighted moments of two images in every window, each (B, 1, H', W')."""

    mean_first: Tensor
    mean_second: Tensor
    variance_first: Tensor
    variance_second: Tensor
    covariance: Tensor


def _moments(first: Tensor, second: Tensor, weights: Sequence[float]) -> _Moments:
    mean_first, mean_second = _slide(first, weights), _slide(second, weights)
    return _Moments(
        mean_first,
        mean_second,
        _slide(first.square(), weights) - mean_first.square(),
        _slide(second.square(), weights) - mean_second.square(),
        _slide(first * second, weights) - mean_first * mean_second,
    )


def _gaussian(window: int, sigma: float) -> list[float]:
    bell = [math.exp(-((place - (window - 1) / 2) ** 2) / (2 * sigma**2)) for place in range(window)]
    return [value / sum(bell) for value in bell]


def _slide(image: Tensor, weights: Sequence[float]) -> Tensor:
    """Weighted mean in every square window inside the image, (B, 1, H, W) → (B, 1, H−n+1, W−n+1).

    Shifted sums, since convolution in float64 has no fast path on a CPU.
    """
    for dim in (3, 2):
        inside = image.shape[dim] - len(weights) + 1
        total = image.narrow(dim, 0, inside) * weights[0]
        for start, weight in enumerate(weights[1:], start=1):
            total.add_(image.narrow(dim, start, inside), alpha=weight)
        image = total
    return image


def _with_each_source(fused: Tensor, infrared: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
    """Fused images twice, and the infrared sources followed by the visible: (2·B, 1, H, W) each."""
    return torch.cat((fused, fused)), torch.cat((infrared, visible))


def _sum_of_sources(values: Tensor) -> Tensor:
    from_infrared, from_visible = values.chunk(2)
    return from_infrared + from_visible


def _similarity_terms(moments: _Moments, value_range: float) -> tuple[Tensor, Tensor]:
    """Mean over the windows of SSIM, and of its contrast-structure term alone, (B,) each."""
    small_mean = (_LUMINANCE_CONSTANT * value_range) ** 2
    small_variance = (_CONTRAST_CONSTANT * value_range) ** 2
    means = moments.mean_first.square() + moments.mean_second.square()
    luminance = (2 * moments.mean_first * moments.mean_second + small_mean) / (means + small_mean)
    variances = moments.variance_first + moments.variance_second
    contrast_structure = (2 * moments.covariance + small_variance) / (variances + small_variance)
    return (luminance * contrast_structure).mean(dim=(1, 2, 3)), contrast_structure.mean(dim=(1, 2, 3))


def _ssim_sum(fused: Tensor, infrared: Tensor, visible: Tensor) -> Tensor:
    weights = _gaussian(_SSIM_WINDOW, _SSIM_SIGMA)
    moments = _moments(*_with_each_source(fused, infrared, visible), weights)
    ssim, _ = _similarity_terms(moments, _GREY_RANGE)
    return _sum_of_sources(ssim)


def _ssim_mean(fused: Tensor, infrared: Tensor, visible: Tensor) -> Tensor:
    return _ssim_sum(fused, infrared, visible) / 2


def _ssim_sum_of_uniform_windows(fused: Tensor, infrared: Tensor, visible: Tensor) -> Tensor:
    weights = [1 / _UNIFORM_WINDOW] * _UNIFORM_WINDOW
    moments = _moments(*_with_each_source(fused, infrared, visible), weights)
    pixels = _UNIFORM_WINDOW**2
    from_sample = pixels / (pixels - 1)
    moments = moments._replace(
        variance_first=moments.variance_first * from_sample,
        variance_second=moments.variance_second * from_sample,
        covariance=moments.covariance * from_sample,
    )
    ssim, _ = _similarity_terms(moments, _UNIFORM_RANGE)
    return _sum_of_sources(ssim)


_STRUCTURAL_SIMILARITY: dict[str, FusionMetric] = {
    "standard": _ssim_mean,
    "cddfuse": _ssim_sum_of_uniform_windows,
    "vifb": _ssim_sum,
}


def _ms_ssim_mean(fused: Tensor, infrared: Tensor, visible: Tensor) -> Tensor:
    first, second = _with_each_source(fused, infrared, visible)
    weights = _gaussian(_SSIM_WINDOW, _SSIM_SIGMA)
    *finer, coarsest = _SCALE_WEIGHTS
    product = torch.ones_like(first[:, 0, 0, 0])
    for exponent in finer:
        _, contrast_structure = _similarity_terms(_moments(first, second, weights), _GREY_RANGE)
        product = product * contrast_structure.clamp(min=0) ** exponent
        first, second = _halved(first), _halved(second)
    ssim, _ = _similarity_terms(_moments(first, second, weights), _GREY_RANGE)
    return _sum_of_sources(product * ssim.clamp(min=0) ** coarsest) / 2


def _halved(image: Tensor) -> Tensor:
    """Means of 2×2 pixels, (B, 1, H, W) → (B, 1, ⌈H/2⌉, ⌈W/2⌉); an odd side repeats its last row or column."""
    height, width = image.shape[2:]
    return avg_pool2d(pad(image, (0, width % 2, 0, height % 2), mode="replicate"), 2)


def _vif_sum(fused: Tensor, infrared: Tensor, visible: Tensor) -> Tensor:
    fused, source = _with_each_source(fused, infrared, visible)
    flat = is_flat(source)
    kept = torch.zeros_like(source[:, 0, 0, 0])
    present = torch.zeros_like(kept)
    for scale, window in enumerate(_VIF_WINDOWS):
        weights = _gaussian(window, window * _VIF_SIGMA_PER_WINDOW)
        if scale > 0:
            fused = _slide(fused, weights)[..., ::2, ::2]
            source = _slide(source, weights)[..., ::2, ::2]
        moments = _moments(source, fused, weights)
        of_source = threshold(moments.variance_first, _NO_VARIANCE, 0)
        of_fused = threshold(moments.variance_second, _NO_VARIANCE, 0)
        gain = (moments.covariance / (of_source + _NO_VARIANCE)).clamp(min=0)
        gain = torch.where((of_source > 0) & (of_fused > 0), gain, 0)
        noise = (of_fused - gain * moments.covariance).clamp(min=_NO_VARIANCE)
        kept += (gain.square() * of_source / (noise + _VISUAL_NOISE)).log1p().sum(dim=(1, 2, 3))
        present += (of_source / _VISUAL_NOISE).log1p().sum(dim=(1, 2, 3))
    return _sum_of_sources(torch.where(flat, torch.nan, kept / present))
