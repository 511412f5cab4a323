"""Metrics on the values, their differences and their correlations: SD, SF, AG, CC, SCD, MSE, PSNR."""

import torch
from torch import Tensor

from .inputs import FusionMetric, ImageMetric, as_images, chosen, is_flat, settled

_PEAK = 255
_PIXELS = (1, 2, 3)


def standard_deviation(fused: Tensor) -> Tensor:
    """SD: the population standard deviation of the pixels, √(mean (F − mean F)²), in grey levels.

    A textbook measure of global contrast. Noise raises it.

    Args:
        fused: luminance (B, 1, H, W) in 0…255.

    Returns:
        (B,) float64 in 0 (constant) … 127.5 (half black, half white). Higher is better.

    Raises:
        ValueError: an image that `check_images` refuses.
    """
    (image,) = as_images(fused=fused)
    return image.std(dim=_PIXELS, correction=0)


def spatial_frequency(fused: Tensor, *, definition: str = "standard") -> Tensor:
    """SF: √(RF² + CF²), the root mean squares of the differences of neighbours along rows and columns.

    Each mean is over the differences that exist: H·(W−1) and (H−1)·W. Source: Eskicioglu and Fisher, IEEE Trans.
    Communications 43 (1995). Noise raises it.

    Args:
        fused: luminance (B, 1, H, W) in 0…255.
        definition: "standard"; "vifb" divides both sums by H·W.

    Returns:
        (B,) float64 in 0 (constant) … 255·√2 (a chessboard of pixels), in grey levels per pixel. Higher is better.

    Raises:
        ValueError: an image that `check_images` refuses, or an unknown definition.
    """
    (image,) = as_images(fused=fused)
    return chosen("SF", _SPATIAL_FREQUENCY, definition)(image)


def average_gradient(fused: Tensor, *, definition: str = "standard") -> Tensor:
    """AG: the mean over all pixels of √((∂ₓ² + ∂ᵧ²) / 2), by central differences.

    Inside the image ∂ is half the difference of the two neighbours, on its border the difference to the one
    neighbour. Source: Cui et al., Optics Communications 341 (2015). Noise raises it.

    Args:
        fused: luminance (B, 1, H, W) in 0…255.
        definition: "standard"; "vifb" divides the sum over all H·W pixels by (H−1)·(W−1).

    Returns:
        (B,) float64 in 0 (constant) … 255, in grey levels per pixel. Higher is better.

    Raises:
        ValueError: an image that `check_images` refuses, or an unknown definition.
    """
    (image,) = as_images(fused=fused)
    return chosen("AG", _AVERAGE_GRADIENT, definition)(image)


def correlation_coefficient(
    fused: Tensor, infrared: Tensor, visible: Tensor, *, allow_undefined: bool = False
) -> Tensor:
    """CC: (r(F, I) + r(F, V)) / 2 with Pearson's r over the pixels.

    No fused image can exceed √((1 + r(I, V)) / 2), which the sum of the two sources, each divided by its standard
    deviation, reaches: compare data sets by the share of that bound. Source: Pearson's correlation; the mean of two
    is the field's custom.

    Args:
        fused, infrared, visible: luminance (B, 1, H, W) in 0…255.
        allow_undefined: give NaN, not an error, for a constant image.

    Returns:
        (B,) float64 in −1…1. Higher is better.

    Raises:
        ValueError: an image that `check_images` refuses, or one without contrast, whose r does not exist.
    """
    fused, infrared, visible = as_images(fused=fused, infrared=infrared, visible=visible)
    values = (_pearson(fused, infrared) + _pearson(fused, visible)) / 2
    return settled("CC", values, "contrast in all three images", fused, allow_undefined)


def sum_of_correlations_of_differences(
    fused: Tensor, infrared: Tensor, visible: Tensor, *, allow_undefined: bool = False
) -> Tensor:
    """SCD: r(F − V, I) + r(F − I, V) with Pearson's r over the pixels.

    What the fused image has beyond one source ought to come from the other. Source: Aslantas and Bendes, AEU 69
    (2015). A weighted sum of the sources scores high, the more so the more its contrast is raised.

    Args:
        fused, infrared, visible: luminance (B, 1, H, W) in 0…255.
        allow_undefined: give NaN, not an error, where the fused image is a source (up to a constant) or a source
            has no contrast.

    Returns:
        (B,) float64 in −2…2. Higher is better.

    Raises:
        ValueError: an image that `check_images` refuses, or one for which a correlation does not exist.
    """
    fused, infrared, visible = as_images(fused=fused, infrared=infrared, visible=visible)
    values = _pearson(fused - visible, infrared) + _pearson(fused - infrared, visible)
    needs = "sources with contrast, and a fused image that is neither of them"
    return settled("SCD", values, needs, fused, allow_undefined)


def mean_squared_error(fused: Tensor, infrared: Tensor, visible: Tensor, *, definition: str = "standard") -> Tensor:
    """MSE: (mean (F − I)² + mean (F − V)²) / 2, with the images scaled to 0…1.

    The plain average of the sources has the least MSE of all fused images.

    Args:
        fused, infrared, visible: luminance (B, 1, H, W) in 0…255.
        definition: "standard"; "cddfuse" leaves the images in 0…255.

    Returns:
        (B,) float64 in 0 (all three equal) … 1. Lower is better.

    Raises:
        ValueError: an image that `check_images` refuses, or an unknown definition.
    """
    images = as_images(fused=fused, infrared=infrared, visible=visible)
    return chosen("MSE", _MEAN_SQUARED_ERROR, definition)(*images)


def peak_signal_to_noise_ratio(
    fused: Tensor, infrared: Tensor, visible: Tensor, *, definition: str = "standard"
) -> Tensor:
    """PSNR: 10·log₁₀(1 / MSE), with the MSE of both sources in 0…1 as `mean_squared_error` gives it, in dB.

    The peak is the largest value that the format can hold. Source: Jagalingam and Hegde, Aquatic Procedia 4 (2015).

    Args:
        fused, infrared, visible: luminance (B, 1, H, W) in 0…255.
        definition: "standard"; "cddfuse" takes the largest value of the fused image for the peak; "peak255" takes
            255 for the peak of images in 0…1; "vifb" puts the mean of ‖F − I‖₂ / (H·W) and ‖F − V‖₂ / (H·W) in the
            place of the MSE, images and peak in 0…255.

    Returns:
        (B,) float64 in 0 dB … infinity (all three images equal, under every definition). Higher is better.

    Raises:
        ValueError: an image that `check_images` refuses, or an unknown definition.
    """
    images = as_images(fused=fused, infrared=infrared, visible=visible)
    return chosen("PSNR", _PEAK_SIGNAL_TO_NOISE_RATIO, definition)(*images)


def _spatial_frequency(image: Tensor) -> Tensor:
    along_rows, along_columns = _squared_steps(image)
    return (along_rows.mean(dim=_PIXELS) + along_columns.mean(dim=_PIXELS)).sqrt()


def _spatial_frequency_per_pixel(image: Tensor) -> Tensor:
    along_rows, along_columns = _squared_steps(image)
    return ((along_rows.sum(dim=_PIXELS) + along_columns.sum(dim=_PIXELS)) / image[0].numel()).sqrt()


def _squared_steps(image: Tensor) -> tuple[Tensor, Tensor]:
    return image.diff(dim=3).square(), image.diff(dim=2).square()


_SPATIAL_FREQUENCY: dict[str, ImageMetric] = {
    "standard": _spatial_frequency,
    "vifb": _spatial_frequency_per_pixel,
}


def _gradient_strength(image: Tensor) -> Tensor:
    down, right = torch.gradient(image, dim=(2, 3))
    return ((right.square() + down.square()) / 2).sqrt()


def _average_gradient(image: Tensor) -> Tensor:
    return _gradient_strength(image).mean(dim=_PIXELS)


def _average_gradient_per_interval(image: Tensor) -> Tensor:
    height, width = image.shape[2:]
    return _gradient_strength(image).sum(dim=_PIXELS) / ((height - 1) * (width - 1))


_AVERAGE_GRADIENT: dict[str, ImageMetric] = {
    "standard": _average_gradient,
    "vifb": _average_gradient_per_interval,
}


def _mean_squared_error(fused: Tensor, infrared: Tensor, visible: Tensor) -> Tensor:
    return _mean_squared_error_in_grey_levels(fused, infrared, visible) / _PEAK**2


def _mean_squared_error_in_grey_levels(fused: Tensor, infrared: Tensor, visible: Tensor) -> Tensor:
    both = (fused - infrared).square() + (fused - visible).square()
    return both.mean(dim=_PIXELS) / 2


_MEAN_SQUARED_ERROR: dict[str, FusionMetric] = {
    "standard": _mean_squared_error,
    "cddfuse": _mean_squared_error_in_grey_levels,
}


def _decibels(power: Tensor) -> Tensor:
    return 10 * power.log10()


def _psnr(fused: Tensor, infrared: Tensor, visible: Tensor) -> Tensor:
    return -_decibels(_mean_squared_error(fused, infrared, visible))


def _psnr_with_mixed_ranges(fused: Tensor, infrared: Tensor, visible: Tensor) -> Tensor:
    return -_decibels(_mean_squared_error(fused, infrared, visible) / _PEAK**2)


def _psnr_of_brightest_pixel(fused: Tensor, infrared: Tensor, visible: Tensor) -> Tensor:
    peak = fused.amax(dim=_PIXELS)
    error = _mean_squared_error_in_grey_levels(fused, infrared, visible)
    # Three black images would give 0 / 0; equal images are without limit whatever their peak.
    return torch.where(error == 0, torch.inf, _decibels(peak.square() / error))


def _psnr_of_norms(fused: Tensor, infrared: Tensor, visible: Tensor) -> Tensor:
    norms = (fused - infrared).flatten(1).norm(dim=1) + (fused - visible).flatten(1).norm(dim=1)
    return -_decibels(norms / 2 / fused[0].numel() / _PEAK**2)


_PEAK_SIGNAL_TO_NOISE_RATIO: dict[str, FusionMetric] = {
    "standard": _psnr,
    "cddfuse": _psnr_of_brightest_pixel,
    "peak255": _psnr_with_mixed_ranges,
    "vifb": _psnr_of_norms,
}


def _pearson(first: Tensor, second: Tensor) -> Tensor:
    """Pearson's r over the pixels, (B, 1, H, W) each → (B,); NaN where one of them has no contrast."""
    first_rest = first - first.mean(dim=_PIXELS, keepdim=True)
    second_rest = second - second.mean(dim=_PIXELS, keepdim=True)
    shared = (first_rest * second_rest).sum(dim=_PIXELS)
    spread = (first_rest.square().sum(dim=_PIXELS) * second_rest.square().sum(dim=_PIXELS)).sqrt()
    return torch.where(is_flat(first) | is_flat(second), torch.nan, shared / spread)
