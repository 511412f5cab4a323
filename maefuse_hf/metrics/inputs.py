"""What every metric asks of its images, and how a metric says that it has no value on one of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

_LARGEST_GREY = 255
_SMALLEST_SIDE = 2

# Contrast below this (in grey levels) is rounding: it lies above the spacing of float32 at the top of the range.
_NO_CONTRAST = 1e-4

ImageMetric = Callable[[Tensor], Tensor]
FusionMetric = Callable[[Tensor, Tensor, Tensor], Tensor]
Metric = TypeVar("Metric")


def check_images(**named: Tensor) -> None:
    """Checks luminance images.

    Args:
        named: images of shape (B, 1, H, W) in 0…255, uint8 or floating, under the names that errors shall use.
            All of one shape and on one device.

    Raises:
        ValueError: no tensor, wrong number of dimensions or channels, another dtype, shapes or devices that differ,
            less than 2 px a side, NaN or infinity, values outside 0…255, or a floating image that never goes above
            1 although it is not black, which is how an image in 0…1 looks. (A uint8 image may be that dark.)
    """
    for name, image in named.items():
        _check_kind(name, image)
    (first_name, first), *others = named.items()
    for name, image in others:
        if image.shape != first.shape:
            raise ValueError(
                f"{first_name} and {name} differ in shape: {tuple(first.shape)} and {tuple(image.shape)}. "
                "Metrics compare pixel with pixel: resize or crop the images to one size first."
            )
        if image.device != first.device:
            raise ValueError(
                f"{first_name} is on {first.device}, {name} on {image.device}. Move them to one device first."
            )
    for name, image in named.items():
        _check_values(name, image)


def as_images(**named: Tensor) -> tuple[Tensor, ...]:
    """Checks luminance images, see `check_images`, and converts them to float64.

    Returns:
        The images, (B, 1, H, W) float64 in the order given, on their device and cut from the graph.
    """
    check_images(**named)
    return tuple(image.detach().to(torch.float64) for image in named.values())


def _check_kind(name: str, image: Tensor) -> None:
    if not isinstance(image, Tensor) or image.ndim != 4 or image.shape[1] != 1:
        came = f"the shape {tuple(image.shape)}" if isinstance(image, Tensor) else type(image).__name__
        raise ValueError(
            f"{name} must be a torch.Tensor of shape (B, 1, H, W), one luminance channel; got {came}. "
            "Convert arrays, add the missing dimensions, or turn colour into luminance first."
        )
    if image.dtype != torch.uint8 and not image.is_floating_point():
        raise ValueError(f"{name} must be uint8 or floating in 0…{_LARGEST_GREY}, got {image.dtype}.")
    if image.shape[0] == 0 or min(image.shape[2:]) < _SMALLEST_SIDE:
        raise ValueError(
            f"{name} must hold at least one image of at least {_SMALLEST_SIDE} px a side; got the shape "
            f"{tuple(image.shape)}."
        )


def _check_values(name: str, image: Tensor) -> None:
    # NaN and infinity come through the extremes, so that one pass over the pixels sees everything.
    lowest, highest = image.flatten(1).aminmax(dim=1)
    if not bool(torch.isfinite(lowest).all() and torch.isfinite(highest).all()):
        raise ValueError(f"{name} holds NaN or infinity. Find out where it comes from: no metric can use it.")
    if bool((lowest < 0).any() or (highest > _LARGEST_GREY).any()):
        raise ValueError(
            f"{name} must lie in 0…{_LARGEST_GREY}; its values go from {lowest.min().item():g} to "
            f"{highest.max().item():g}. Undo the normalisation, or scale and clip first."
        )
    if image.is_floating_point() and bool(((highest > 0) & (highest <= 1)).any()):
        raise ValueError(
            f"{name} looks like an image in 0…1; metrics need 0…{_LARGEST_GREY}. Multiply by {_LARGEST_GREY}, or pass "
            "uint8 if it really is that dark."
        )


def is_flat(image: Tensor) -> Tensor:
    """Which images have no contrast. (B, 1, H, W) → bool (B,); differences within rounding count as none."""
    lowest, highest = image.flatten(1).aminmax(dim=1)
    return highest - lowest < _NO_CONTRAST


def where_sides_reach(least: int, metric: FusionMetric, images: Sequence[Tensor]) -> Tensor:
    """The metric's values (B,), or NaN for all where a side of the images is below `least` px."""
    fused, infrared, visible = images
    if min(fused.shape[2:]) < least:
        return fused.new_full((fused.shape[0],), torch.nan)
    return metric(fused, infrared, visible)


def settled(metric: str, values: Tensor, needs: str, fused: Tensor, allow_undefined: bool) -> Tensor:
    """Hands on values (B,) in which NaN marks the images that the metric has no value for.

    Raises:
        ValueError: there is such an image and `allow_undefined` is false. Says which, and what the metric `needs`.
    """
    undefined = values.isnan()
    if not allow_undefined and bool(undefined.any()):
        height, width = fused.shape[2:]
        raise ValueError(
            f"{metric} has no value for image {undefined.nonzero().flatten().tolist()} of this batch of "
            f"{height}×{width} px: it needs {needs}. Leave such images out, or pass allow_undefined=True to get NaN "
            "for them."
        )
    return values


def chosen(metric: str, definitions: Mapping[str, Metric], definition: str) -> Metric:
    """The definition of that name.

    Raises:
        ValueError: the metric has none of that name; lists those it has.
    """
    if definition not in definitions:
        raise ValueError(f"{metric} has no definition {definition!r}; it has {', '.join(map(repr, definitions))}.")
    return definitions[definition]
