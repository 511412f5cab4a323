# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Files to a fused image: two images, or what a thermal camera wrote."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from transformers.utils import logging

from ..cameras import Box, CameraPair, open_infrared
from ..cameras.reading import open_camera_file
from ..colour import WHITE, to_uint8
from ..false_colour import heat_of
from ..image_files import decode
from ..image_processing_maefuse import Limits, MaeFuseImageProcessor, load_rgb
from ..modeling_maefuse import MaeFuseModel
from ..registration import Rig
from ..strategies import DEFAULT_CONTOUR, DEFAULT_FUSION, Contour, FusionStrategy
from ..visualization.thermal_palette import thermal_overlay
from .coverage import Region, blend_into_photo, infrared_in_photo
from .pair_fusion import ANY_TIME, FusedInStrips, FusedPair, Turn, fuse_any_size

logger = logging.get_logger(__name__)

FilePath = str | os.PathLike[str]


@dataclass(frozen=True)
class FusedFiles:
    """A fused image and what it was made from.

    Attributes:
        image: RGB, of the photo's size.
        pair: the image of the part that infrared covers, with the model's inputs and outputs unless it is so large that
            it was fused in strips.
        thermal: what the infrared file holds; None if it is an image of no known unit.
        infrared_box: where infrared lies in the photo; None if it covers all of it or a rig says where it lies.
        rig: by which infrared was warped; None without one.
    """

    image: Image.Image
    pair: FusedPair | FusedInStrips
    thermal: CameraPair | None
    infrared_box: Box | None
    rig: Rig | None = None


@dataclass(frozen=True)
class OpenedFiles:
    """Files that were opened: the two images that the processor takes, and what becomes of the fused one.

    Attributes:
        infrared, visible: of the part of the photo that infrared covers.
        overrides: for the processor.
        palette: colours what is hot.
        thermal, infrared_box, rig: as in `FusedFiles`.
        photo: the whole photo, RGB, the part and its weights for `blend_into_photo`; None where infrared covers all.
    """

    infrared: Path | Image.Image
    visible: Path | Image.Image
    overrides: dict[str, Any]
    palette: str | None
    thermal: CameraPair | None
    infrared_box: Box | None = None
    rig: Rig | None = None
    photo: tuple[Image.Image, Region, np.ndarray] | None = None

    def finished(self, pair: FusedPair | FusedInStrips) -> FusedFiles:
        """What `fuse_files` gives, once the two images are fused."""
        image = coloured(pair, self.palette)
        if self.photo is not None:
            photo, region, weights = self.photo
            image = blend_into_photo(photo, image, region, weights)
        return FusedFiles(image, pair, self.thermal, self.infrared_box, self.rig)


def fuse_files(
    model: MaeFuseModel,
    processor: MaeFuseImageProcessor,
    infrared: FilePath,
    visible: FilePath | None = None,
    *,
    fusion: FusionStrategy = DEFAULT_FUSION,
    contour: Contour = DEFAULT_CONTOUR,
    turn: Turn = ANY_TIME,
    progress: bool = False,
    **settings: Any,
) -> FusedFiles:
    """Fuse a camera's file, or an infrared image and a photo, at the photo's size.

    Args:
        infrared, visible: as in `open_files`.
        fusion, contour: for the model.
        turn: held while the model runs, for threads that share it.
        progress: show a bar where a pair is so large that it is fused in strips.
        settings: for `open_files`.

    Raises:
        OSError, ValueError: what `open_files`, processor and model raise.
    """
    opened = open_files(processor, infrared, visible, **settings)
    pair = fuse_any_size(
        model, processor, opened.infrared, opened.visible, fusion, contour, turn, progress, **opened.overrides
    )
    return opened.finished(pair)


def open_files(
    processor: MaeFuseImageProcessor,
    infrared: FilePath,
    visible: FilePath | None = None,
    *,
    infrared_box: Box | None = None,
    rig: Rig | None = None,
    infrared_unit: str | None = None,
    temperature_range: Limits | None = None,
    palette: str | None = None,
    **overrides: Any,
) -> OpenedFiles:
    """Open a camera's file, or an infrared image and a photo, and bring infrared to the photo's pixels.

    Args:
        infrared: a thermal camera's file, or an image.
        visible: the photo; without one, that in the camera's file.
        infrared_box: where infrared lies, in pixels of the photo, which stays as it is elsewhere. Without one, the
            camera's registration where its own photo is used, else infrared must cover the whole photo.
        rig: where infrared lies, in place of a box; the photo stays as it is outside of infrared's footprint.
        infrared_unit: of an image's pixels, as in `maefuse_hf.cameras.UNITS`.
        temperature_range: °C that become black and white.
        palette: colours what is hot, as `thermal_overlay` does.
        overrides: for the processor. Under `infrared_range` raw values are fused and not temperatures. With
            `resize_infrared` infrared covers the whole photo, whatever the camera says.

    Raises:
        OSError: a file is missing, truncated or damaged.
        ValueError: no photo, no temperatures where they are asked for, or contradicting settings.
    """
    if bool(infrared_box) + bool(rig) + bool(overrides.get("resize_infrared")) > 1:
        raise ValueError(
            "Only one of an infrared box, a rig and resize_infrared can be given. Infrared lies in the box, where the "
            "rig says, or covers the whole photo."
        )
    if temperature_range and overrides.get("infrared_range"):
        raise ValueError("A temperature range and an infrared range were given. Give °C or raw values.")
    if visible is None and infrared_unit:
        raise ValueError(f"{infrared}: a camera's file says itself what its values are; leave out the unit.")
    thermal: CameraPair | None
    photo: FilePath | Image.Image
    if visible is not None:
        thermal, photo = open_infrared(infrared, infrared_unit), visible
    else:
        thermal = open_camera_file(infrared)
        photo = embedded_photo(thermal, infrared)
        if infrared_box is None and rig is None and not overrides.get("resize_infrared"):
            infrared_box = registration(thermal, infrared)
    if temperature_range:
        require_temperatures(thermal, infrared)
    if thermal is None and infrared_box is None and rig is None:
        return OpenedFiles(Path(infrared), photo_path(photo), overrides, palette, thermal)

    values, limits = infrared_values(thermal, infrared, temperature_range, overrides.pop("infrared_range", None))
    place = rig or infrared_box
    if place is None:
        limits = limits or percentile_limits(values, processor)
        return OpenedFiles(
            Image.fromarray(values), photo_path(photo), overrides | {"infrared_range": limits}, palette, thermal
        )

    whole = photo_8_bit(photo, processor, overrides.pop("visible_range", None))
    region, covering, weights = infrared_in_photo(values, place, whole.size)
    limits = limits or percentile_limits(covering[weights > 0], processor)
    return OpenedFiles(
        Image.fromarray(covering),
        whole.crop(region),
        overrides | {"infrared_range": limits},
        palette,
        thermal,
        infrared_box,
        rig,
        photo=(whole, region, weights),
    )


def require_temperatures(thermal: CameraPair | None, infrared: FilePath) -> np.ndarray:
    """The temperatures of a file; a `ValueError` says what would help where they are not known."""
    if thermal is None:
        raise ValueError(
            f"{infrared}: an image does not say which temperatures its pixels are. Name their unit with "
            "--infrared-unit (such as centikelvin), or give raw values with --infrared-range."
        )
    if thermal.temperatures is None:
        raise ValueError(f"{infrared}: temperatures are not known. {thermal.temperature_note}")
    if not np.isfinite(thermal.temperatures).any():
        raise ValueError(
            f"{infrared}: no pixel has a temperature by the calibration in the file. Use --infrared-range."
        )
    return thermal.temperatures


def photo_alone(processor: MaeFuseImageProcessor, infrared: FilePath, visible: FilePath | None = None) -> Image.Image:
    """The photo that `fuse_files` takes, unfused: RGB of 8 bits, of its own size.

    Raises:
        OSError, ValueError: what `fuse_files` raises for a photo.
    """
    if visible is None:
        return photo_8_bit(embedded_photo(open_camera_file(infrared), infrared), processor, None)
    return photo_8_bit(visible, processor, None)


def embedded_photo(thermal: CameraPair, infrared: FilePath) -> Image.Image:
    """The photo in a camera's file; a `ValueError` asks for one where there is none."""
    if thermal.visible is None:
        raise ValueError(
            f"{infrared}: {thermal.camera} stored no photo in this file. Give the photo of the same view as second "
            f"argument: maefuse fuse {Path(infrared).name} photo.jpg -o fused.png, with --infrared-box or "
            "--resize-infrared where sizes differ."
        )
    return thermal.visible


def registration(thermal: CameraPair, infrared: FilePath) -> Box:
    """Where infrared lies in the embedded photo; ValueError if the file does not say."""
    if thermal.infrared_box is None:
        raise ValueError(
            f"{infrared}: {thermal.camera} did not store where infrared lies in its photo. Give --infrared-box, or "
            "--resize-infrared if both show the same view."
        )
    return thermal.infrared_box


def infrared_values(
    thermal: CameraPair | None, infrared: FilePath, temperature_range: Limits | None, raw_range: Limits | None
) -> tuple[np.ndarray, Limits | None]:
    """What is fused, (h, w) float32 and finite, and the values that become black and white where these were named."""
    if thermal is None:
        pixels = infrared_pixels(infrared)
        if raw_range is None and pixels.dtype == np.uint8:
            raw_range = 0, WHITE
        return pixels.astype(np.float32), raw_range
    if raw_range or thermal.temperatures is None:
        return thermal.raw.astype(np.float32), raw_range
    temperatures = require_temperatures(thermal, infrared)
    # colder than the calibration reaches
    return np.where(np.isfinite(temperatures), temperatures, np.nanmin(temperatures)), temperature_range


def infrared_pixels(infrared: FilePath) -> np.ndarray:
    """An infrared image's own numbers, (h, w); of a coloured one the scale of its palette, else the luminance."""
    name = f"infrared ({infrared})"
    pixels = decode(infrared, name)
    if pixels.ndim == 2:
        return pixels
    heat, doubt = heat_of(np.moveaxis(pixels, -1, 0), name)
    if doubt:
        logger.warning_once(doubt)
    if len(heat) == 1:
        return heat[0]
    with Image.fromarray(pixels) as image:
        return np.asarray(image.convert("L"))


def percentile_limits(values: np.ndarray, processor: MaeFuseImageProcessor) -> Limits | None:
    """The values at the processor's percentiles; its extremes where these coincide, None where these do too."""
    low, high = np.percentile(values, processor.percentiles).tolist()
    if low >= high:
        low, high = values.min().item(), values.max().item()
    return (low, high) if low < high else None


def photo_8_bit(photo: FilePath | Image.Image, processor: MaeFuseImageProcessor, limits: Limits | None) -> Image.Image:
    """The whole photo as the processor sees it: RGB of 8 bits."""
    name = "visible" if isinstance(photo, Image.Image) else f"visible ({photo})"
    rgb = load_rgb(photo, name, limits, processor.percentiles)
    return Image.fromarray(np.ascontiguousarray(np.moveaxis(to_uint8(rgb), 0, -1)))


def photo_path(photo: FilePath | Image.Image) -> Path | Image.Image:
    """A photo in the form that `fuse_pair` takes."""
    return photo if isinstance(photo, Image.Image) else Path(photo)


def coloured(pair: FusedPair | FusedInStrips, palette: str | None) -> Image.Image:
    """The fused image, with what is hot in the palette's colours if one is named."""
    return thermal_overlay(pair.image, pair.infrared(), palette) if palette else pair.image
