"""A pair of images in, tensors for the model out, and the fused luminance back to a colour image.

Only luminance is fused. The visible image travels along at its own size, to give its colour back.
"""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any, TypeAlias, TypedDict

import numpy as np
import torch
from huggingface_hub.errors import StrictDataclassError
from PIL import Image
from transformers.image_processing_backends import PilBackend
from transformers.image_processing_utils import BatchFeature
from transformers.image_transforms import get_size_with_aspect_ratio
from transformers.image_utils import PILImageResampling, SizeDict
from transformers.processing_utils import Unpack
from transformers.utils import logging

from .colour import WHITE, recoloured, resized_luminance, to_uint8
from .eight_bit import recoloured_8_bit, resized_luminance_8_bit
from .false_colour import heat_of
from .image_files import decode

ImageLike: TypeAlias = str | os.PathLike[str] | Image.Image | np.ndarray | torch.Tensor
ImagesLike: TypeAlias = ImageLike | Sequence[ImageLike]
Size: TypeAlias = tuple[int, int]
Limits: TypeAlias = tuple[float, float]

# Settings that the way in and the way back need alike, and the filters that one of them allows.
BOTH_WAYS = {"eight_bit", "resize_colour"}
EIGHT_BIT_FILTERS = (PILImageResampling.BILINEAR, PILImageResampling.BICUBIC)
CHANNEL_COUNTS = (1, 3, 4)
LONGEST_EDGE = 1 << 16
"""The largest `size` and `size_divisor` in pixels; more is a mistake that would fill the memory."""

# Keys that transformers itself writes into preprocessor_config.json.
SERVICE_KEYS = {"auto_map", "feature_extractor_type", "image_processor_type", "processor_class"}


logger = logging.get_logger(__name__)


class NoContentError(ValueError):
    """Every pixel of an image is the same; `name` is what error messages call the image."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


def pad_to_multiple(planes: np.ndarray, divisor: int) -> np.ndarray:
    """Pad (C, H, W) at the bottom and right by reflection until H and W are multiples of `divisor`.

    numpy's "reflect" does not repeat the edge, reflects again where the image is smaller than the padding,
    and repeats the pixel where the image is one pixel high or wide.
    """
    _, height, width = planes.shape
    return np.pad(planes, ((0, 0), (0, -height % divisor), (0, -width % divisor)), mode="reflect")


def check_size(size: SizeDict) -> None:
    """Raise a `ValueError` for keys or numbers that name no size."""
    given = {name: edge for name, edge in dict(size).items() if edge is not None}
    fits = given.keys() in ({"height", "width"}, {"shortest_edge"}, {"shortest_edge", "longest_edge"})
    if not fits or not all(type(edge) is int and 1 <= edge <= LONGEST_EDGE for edge in given.values()):
        raise ValueError(
            f"`size` is {given}. Give 'height' and 'width', or 'shortest_edge' with or without a bound "
            f"'longest_edge', each a whole number from 1 to {LONGEST_EDGE}."
        )


def target_size(own_size: Size, size: SizeDict) -> Size:
    """(height, width) that `size`, which `check_size` has passed, gives an image."""
    if size.height and size.width:
        return size.height, size.width
    height, width = get_size_with_aspect_ratio(own_size, size.shortest_edge, size.longest_edge)
    return max(1, height), max(1, width)


def list_images(images: ImagesLike | None, kind: str) -> list[tuple[str, ImageLike]]:
    """One image, a list, or a 4-D array or tensor, as a list of (name for error messages, image)."""
    if isinstance(images, (np.ndarray, torch.Tensor)):
        items = list(images) if images.ndim == 4 else [images]
    else:
        items = list(images) if isinstance(images, (list, tuple)) else [images]
    if not items or images is None:
        raise ValueError(f"{kind}: no image came. Give an infrared and a visible image for each pair.")
    names = [kind] if len(items) == 1 else [f"{kind}[{index}]" for index in range(len(items))]
    return [
        (f"{name} ({item})" if isinstance(item, (str, os.PathLike)) else name, item)
        for name, item in zip(names, items, strict=True)
    ]


def to_channels_first(pixels: np.ndarray, prefer_first: bool, name: str) -> np.ndarray:
    """(H, W), (H, W, C) or (C, H, W) with C 1, 3 or 4 to (C, H, W) without alpha; ValueError if neither."""
    shape = pixels.shape
    first, last = (len(shape) == 3 and shape[axis] in CHANNEL_COUNTS for axis in (0, -1))
    if 0 in shape or not (len(shape) == 2 or first or last):
        raise ValueError(
            f"{name}: the shape is {tuple(shape)}. Give (height, width), or three dimensions with 1, 3 or 4 "
            "channels first or last, and at least one pixel."
        )
    if len(shape) == 2:
        return pixels[None]
    return (pixels if first and (prefer_first or not last) else np.moveaxis(pixels, -1, 0))[:3]


def read_pixels(image: ImageLike, name: str) -> np.ndarray:
    """One image as (C, H, W), C 1 or 3, in its own numbers, checked for what no setting can repair.

    Raises:
        OSError, ValueError: a file that `decode` does not read.
        ValueError: wrong type, dtype or shape; no pixel; NaN or infinity; every pixel the same.
    """
    if isinstance(image, torch.Tensor):
        # numpy has no bfloat16.
        tensor = image.float() if image.dtype == torch.bfloat16 else image
        array = tensor.detach().cpu().numpy()
    elif isinstance(image, (str, os.PathLike, Image.Image)):
        array = decode(image, name)
    elif isinstance(image, np.ndarray):
        array = image
    else:
        given = type(image).__name__
        raise ValueError(f"{name}: {given} is no image. Give a path, PIL image, numpy array or torch tensor.")
    pixels = to_channels_first(array, prefer_first=isinstance(image, torch.Tensor), name=name)
    if pixels.dtype.kind not in "uif" or pixels.dtype == np.int8:
        raise ValueError(
            f"{name}: pixels have the dtype {pixels.dtype}. Give uint8, integers of 16 bits or more, or "
            "floating point in [0, 1]."
        )
    if not np.isfinite(pixels).all():
        raise ValueError(f"{name}: the image holds NaN or infinity. Replace these pixels first.")
    if (pixels == pixels[:, :1, :1]).all():
        value = ", ".join(map(str, pixels[:, 0, 0].tolist()))
        raise NoContentError(
            name,
            f"{name}: the image has no content, every pixel is {value}. Check the lens cap, the shutter "
            "(thermal cameras close it to calibrate) and the decoder of the file.",
        )
    return pixels


def natural_limits(pixels: np.ndarray, percentiles: Limits, measured: bool, name: str) -> Limits:
    """The pixel values that become 0 and 1 when the caller has named none.

    8-bit pixels: 0 and 255. Floating point in [0, 1]: 0 and 1. Deeper pixels: two percentiles of the image,
    all channels together, or its extremes where these coincide (a few hot pixels on an even ground). 32 and
    64-bit integers that all lie in 0...255 count as 8-bit, 16-bit ones never do. Floating point beyond [0, 1]
    counts as deep if it is `measured`, else it is a ValueError.
    """
    low, high = pixels.min().item(), pixels.max().item()
    is_float, wide = pixels.dtype.kind == "f", pixels.itemsize > 2
    if pixels.dtype == np.uint8 or (wide and not is_float and low >= 0 and high <= WHITE):
        return 0, WHITE
    if is_float and low >= 0 and high <= 1:
        return 0, 1
    if is_float and not measured:
        raise ValueError(
            f"{name}: floating-point pixels run from {low:g} to {high:g} and leave [0, 1]. Divide by the "
            "value of white, or name black and white: `infrared_range` or `visible_range`=(low, high)."
        )
    dark, bright = np.percentile(pixels, percentiles).tolist()
    return (dark, bright) if dark < bright else (low, high)


def load_rgb(image: ImageLike, name: str, limits: Limits | None, percentiles: Limits) -> np.ndarray:
    """A visible image as `scaled_rgb` gives it; raises what `read_pixels` and `scaled_rgb` raise."""
    return scaled_rgb(read_pixels(image, name), name, limits, percentiles, is_measured(image))


def load_infrared(
    image: ImageLike, name: str, limits: Limits | None, percentiles: Limits, visible: np.ndarray | None = None
) -> np.ndarray:
    """An infrared image as `scaled_rgb` gives it; the log says what `heat_of` says of its colours.

    Raises what `read_pixels` and `scaled_rgb` raise.
    """
    return scaled_rgb(read_infrared(image, name, visible), name, limits, percentiles, is_measured(image))


def read_infrared(image: ImageLike, name: str, visible: np.ndarray | None = None) -> np.ndarray:
    """What `read_pixels` gives, or the scale of a known palette; the log says what `heat_of` says of colours."""
    pixels, doubt = heat_of(read_pixels(image, name), name, visible)
    if doubt:
        logger.warning_once(doubt)
    return pixels


def is_measured(image: ImageLike) -> bool:
    """Whether floating point may leave [0, 1]: Pillow's mode "F" holds temperatures as often as values in it."""
    return not isinstance(image, (np.ndarray, torch.Tensor))


def scaled_rgb(pixels: np.ndarray, name: str, limits: Limits | None, percentiles: Limits, measured: bool) -> np.ndarray:
    """(C, H, W) as (3, H, W) float32 by `unit_rgb`; raises what `fitting_limits` raises."""
    return unit_rgb(pixels, fitting_limits(pixels, name, limits, percentiles, measured))


def fitting_limits(pixels: np.ndarray, name: str, limits: Limits | None, percentiles: Limits, measured: bool) -> Limits:
    """The pixel values that become 0 and 1: the given ones, or `natural_limits`.

    Raises what `natural_limits` raises, and ValueError if all pixels lie outside of them.
    """
    low, high = limits or natural_limits(pixels, percentiles, measured, name)
    darkest, brightest = pixels.min().item(), pixels.max().item()
    if brightest <= low or darkest >= high:
        raise ValueError(
            f"{name}: pixels run from {darkest:g} to {brightest:g}, outside the range {low:g} to {high:g}; "
            "it must be in the image's own units."
        )
    return low, high


def unit_rgb(pixels: np.ndarray, limits: Limits) -> np.ndarray:
    """(C, H, W) as (3, H, W) float32: (pixel - low) / (high - low) clipped to [0, 1], grey repeated."""
    low, high = limits
    values = pixels.astype(np.result_type(pixels.dtype, np.float32))
    unit = ((values - low) / (high - low)).clip(0, 1).astype(np.float32)
    return np.broadcast_to(unit, (3, *unit.shape[1:]))


def require_one_size(infrared: np.ndarray, infrared_name: str, visible: np.ndarray, visible_name: str) -> None:
    """Raise a `ValueError` where (C, H, W) images differ in height or width."""
    if infrared.shape[1:] != visible.shape[1:]:
        raise ValueError(
            f"{infrared_name} has the size {infrared.shape[1:]}, {visible_name} has {visible.shape[1:]} "
            "(height, width). If both show the same view, resize_infrared=True (on the command line "
            "--resize-infrared) brings the infrared image to the visible one's size."
        )


def require_finite(luminance: np.ndarray) -> None:
    """Raise a `ValueError` where fused luminance holds no numbers."""
    if not np.isfinite(luminance).all():
        raise ValueError("The fused luminance holds NaN or infinity. Check the weights; float16 may overflow.")


def as_array(values: Any) -> np.ndarray:
    """A tensor of any dtype and device, or an array, as numpy; floating point becomes float32."""
    tensor = torch.as_tensor(values).detach().cpu()
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()


class MaeFuseImageProcessorKwargs(TypedDict, total=False):
    """Settings, each valid in the constructor, in preprocessor_config.json and as an override in a call.

    `eight_bit` and `resize_colour` concern the way back too, so that a call cannot override them.

    do_resize: resize both images to `size` before padding. If unset, they are resized when `size` is set.
    size: `height` and `width`, or `shortest_edge`, alone or bounded by `longest_edge`; an integer is the
        shortest edge, or with `default_to_square` a square.
    resample: filter of every resize on the way in, as `PIL.Image.Resampling`.
    size_divisor: height and width are padded to a multiple of this, the model's patch size.
    eight_bit: hold images in whole grey values between all steps, there and back, and convert and resize them
        in the arithmetic of OpenCV, without antialiasing (`eight_bit.py`); `resample` is then bilinear or bicubic.
    resize_colour: under `size`, resize the colours there and back too, as models do that were published with
        images of one fixed size. Without it they keep the visible image's own sharpness.
    resize_infrared: where sizes differ, stretch infrared to the visible image's size. Nothing is aligned.
    percentiles: the two percentiles of an image deeper than 8 bits that become 0 and 1.
    infrared_range, visible_range: the raw pixel values that become 0 and 1, at any depth, instead of each
        image's own limits; keeps a video from flickering.
    """

    do_resize: bool | None
    size: int | list[int] | tuple[int, ...] | dict[str, int] | None
    default_to_square: bool
    resample: int
    size_divisor: int
    eight_bit: bool
    resize_colour: bool
    resize_infrared: bool
    percentiles: Sequence[int | float]
    infrared_range: Sequence[int | float] | None
    visible_range: Sequence[int | float] | None


class MaeFuseImageProcessor(PilBackend):
    """Turns pairs of an infrared and a visible image into tensors, and fused luminance back into images.

    Images keep their own size unless `size` is set. Settings: `MaeFuseImageProcessorKwargs`.
    """

    valid_kwargs = MaeFuseImageProcessorKwargs  # type: ignore[assignment]
    model_input_names = ["infrared", "visible"]
    default_to_square = False
    resample = PILImageResampling.BILINEAR
    size_divisor = 16
    eight_bit = False
    resize_colour = False
    resize_infrared = False
    percentiles = (0.1, 99.9)

    def __init__(self, **kwargs: Unpack[MaeFuseImageProcessorKwargs]) -> None:
        known = sorted(self.valid_kwargs.__annotations__)
        if unknown := sorted(set(kwargs) - set(known) - SERVICE_KEYS):
            raise TypeError(f"No such setting: {', '.join(unknown)}. There are {', '.join(known)}.")
        super().__init__(**kwargs)  # type: ignore[misc]

    @classmethod
    def from_dict(cls, image_processor_dict: dict[str, Any], **kwargs: Any) -> Any:
        """A processor from what `preprocessor_config.json` holds; a `ValueError` for an unknown or wrong setting."""
        try:
            return super().from_dict(image_processor_dict, **kwargs)
        except TypeError as error:
            raise ValueError(f"preprocessor_config.json cannot be used. {error}") from error

    def __call__(  # type: ignore[override]
        self,
        infrared: ImagesLike,
        visible: ImagesLike,
        return_tensors: str | None = None,
        **kwargs: Unpack[MaeFuseImageProcessorKwargs],
    ) -> BatchFeature:
        """See `preprocess`."""
        return self.preprocess(infrared, visible, return_tensors, **kwargs)

    def preprocess(
        self,
        infrared: ImagesLike,
        visible: ImagesLike,
        return_tensors: str | None = None,
        **kwargs: Unpack[MaeFuseImageProcessorKwargs],
    ) -> BatchFeature:
        """One or several pairs of images to model inputs.

        Args:
            infrared, visible: one image each, or equally long lists. An image is a path, PIL image, numpy
                array or torch tensor; four dimensions are a batch. Arrays are (H, W), (H, W, C) or (C, H, W),
                C 1, 3 or 4; where both layouts fit, torch has channels first, numpy last. Pixels are uint8,
                deeper integers, or floating point in [0, 1]. Alpha is dropped, EXIF orientation applied.
            return_tensors: "pt" or "np"; without it, numpy arrays.
            kwargs: overrides of the settings, see `MaeFuseImageProcessorKwargs`.

        Returns:
            `infrared`, `visible`: (B, 1, H', W') float32, BT.601 luminance in [0, 1], padded bottom right.
            `visible_rgb`: (B, 3, H, W) uint8, the visible images at their own size; integer, so that a cast
                of the inputs to bfloat16 spares the colours. If sizes differ (under `size`), zeros fill up.
            `original_sizes`: (B, 2) int64, (height, width) of the visible images.
            `resized_sizes`: (B, 2) int64, (height, width) before padding; only there if `size` is in force.

        Raises:
            OSError: a file is missing, damaged, or of a format that is not read (`image_files.py`).
            TypeError: an unknown setting, or one that a call cannot override.
            ValueError: an image that cannot be used, two that do not fit together, pairs that cannot share a
                batch, a setting out of range. The message names the image.
        """
        if fixed := sorted(BOTH_WAYS & set(kwargs)):
            raise TypeError(f"{', '.join(fixed)}: the way back needs the same setting; give it to the constructor.")
        try:
            features = super().preprocess(infrared, visible, **kwargs)
        except StrictDataclassError as error:
            raise ValueError(" ".join(str(error).split())) from error
        return features.convert_to_tensors(return_tensors)

    def settings(self, **overrides: Any) -> dict[str, Any]:
        """All settings as a call with these overrides uses them, checked; raises what `preprocess` raises for them."""
        if unknown := sorted(set(overrides) - set(self.valid_kwargs.__annotations__)):
            raise TypeError(f"No such setting: {', '.join(unknown)}.")
        own = {name: getattr(self, name, None) for name in self.valid_kwargs.__annotations__}
        return self._standardize_kwargs(**(own | overrides))

    def _standardize_kwargs(self, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Settings in one form and checked; the base class calls this on construction and in each call."""
        kwargs = super()._standardize_kwargs(**kwargs)
        for name in ("percentiles", "infrared_range", "visible_range"):
            if kwargs[name] is not None:
                # JSON has lists only.
                given = kwargs[name]
                limits = kwargs[name] = tuple(given) if isinstance(given, Iterable) else ()
                numbers = all(isinstance(limit, Real) and math.isfinite(limit) for limit in limits)
                if len(limits) != 2 or not numbers or limits[0] >= limits[1]:
                    raise ValueError(f"`{name}` is {given!r}. Give two finite numbers, the lower one first.")
        if not 0 <= kwargs["percentiles"][0] < kwargs["percentiles"][1] <= 100:
            raise ValueError(f"`percentiles` is {kwargs['percentiles']}. Give percentages from 0 to 100.")
        if kwargs["eight_bit"] and kwargs["resample"] not in EIGHT_BIT_FILTERS:
            raise ValueError(
                f"`resample` is {kwargs['resample']}; with `eight_bit` it must be one of "
                f"{', '.join(f'{filter.value} ({filter.name.lower()})' for filter in EIGHT_BIT_FILTERS)}."
            )
        if type(kwargs["size_divisor"]) is not int or not 1 <= kwargs["size_divisor"] <= LONGEST_EDGE:
            raise ValueError(
                f"`size_divisor` is {kwargs['size_divisor']}. Give a whole number from 1 to {LONGEST_EDGE}."
            )
        if kwargs["size"] is not None:
            check_size(kwargs["size"])
        return kwargs

    def _preprocess_image_like_inputs(  # type: ignore[override]
        self, infrared: ImagesLike, visible: ImagesLike, **settings: Any
    ) -> BatchFeature:
        named_infrared, named_visible = list_images(infrared, "infrared"), list_images(visible, "visible")
        if len(named_infrared) != len(named_visible):
            raise ValueError(
                f"{len(named_infrared)} infrared and {len(named_visible)} visible images came. Give one "
                "visible image for each infrared one."
            )
        size, resample, divisor = settings["size"], settings["resample"], settings["size_divisor"]
        resizes = size is not None and settings["do_resize"] is not False
        luminances, colours, resized_sizes = [], [], []
        for (infrared_name, thermal), (visible_name, photo) in zip(named_infrared, named_visible, strict=True):
            seen = read_pixels(photo, visible_name)
            heat = load_infrared(
                thermal, infrared_name, settings["infrared_range"], settings["percentiles"], visible=seen
            )
            colour = scaled_rgb(
                seen, visible_name, settings["visible_range"], settings["percentiles"], is_measured(photo)
            )
            if not settings["resize_infrared"]:
                require_one_size(heat, infrared_name, colour, visible_name)
            new_size = target_size(colour.shape[1:], size) if resizes else colour.shape[1:]
            take_luminance = resized_luminance_8_bit if settings["eight_bit"] else resized_luminance
            pair = [take_luminance(image, new_size, resample) for image in (heat, colour)]
            luminances.append([pad_to_multiple(planes, divisor) for planes in pair])
            colours.append(to_uint8(colour))
            resized_sizes.append(new_size)

        if len(set(resized_sizes)) > 1:
            raise ValueError(
                f"The pairs have the sizes {', '.join(map(str, resized_sizes))} (height, width), a batch has "
                "one. Make one call for each size, or set `size` to resize all images to it."
            )
        original_sizes = np.array([colour.shape[1:] for colour in colours], dtype=np.int64)
        visible_rgb = np.zeros((len(colours), 3, *original_sizes.max(axis=0)), dtype=np.uint8)
        for filled, colour in zip(visible_rgb, colours, strict=True):
            filled[:, : colour.shape[1], : colour.shape[2]] = colour
        data = dict(zip(("infrared", "visible"), map(np.stack, zip(*luminances, strict=True)), strict=True))
        data |= {"visible_rgb": visible_rgb, "original_sizes": original_sizes}
        if resizes:
            data["resized_sizes"] = np.array(resized_sizes, dtype=np.int64)
        return BatchFeature(data=data)

    def post_process_image_fusion(self, outputs: Any, inputs: Mapping[str, Any]) -> list[Image.Image]:
        """The fused luminance put into the visible images: their Cb and Cr, their own size.

        Args:
            outputs: what the model returned, with `fused`, or that tensor: (B, 1, H', W') in [0, 1], any
                floating dtype and device.
            inputs: what the processor returned for the same pairs.

        Returns:
            B images, mode RGB. Padding is cropped; under `size`, the luminance, or with `resize_colour` the
            whole image, is resized back (bicubic).

        Raises:
            ValueError: outputs and inputs do not belong together, or the luminance is not finite.
        """
        fused = getattr(outputs, "fused", outputs)
        given, needed = tuple(getattr(fused, "shape", ())), tuple(inputs["visible"].shape)
        if given != needed:
            raise ValueError(
                f"The fused luminance has the shape {given}, these inputs need {needed}. Give the model's "
                "output and the inputs it came from."
            )
        luminances, colours = as_array(fused), as_array(inputs["visible_rgb"])
        require_finite(luminances)
        original_sizes = as_array(inputs["original_sizes"])
        resized_sizes = as_array(inputs["resized_sizes"]) if "resized_sizes" in inputs else original_sizes
        images = []
        for luminance, colour, (height, width), inner in zip(
            luminances, colours, original_sizes.tolist(), resized_sizes.tolist(), strict=True
        ):
            content = luminance[:, : inner[0], : inner[1]]
            own_colour = colour[:, :height, :width]
            recolour = recoloured_8_bit if self.eight_bit else recoloured
            image = recolour(own_colour, content, self.resample if self.resize_colour else None)
            images.append(Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))))
        return images
