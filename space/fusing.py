"""Two uploaded files and a person's settings in, images out; every problem is a sentence for that person."""

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from transformers.feature_extraction_utils import BatchFeature

from maefuse_hf import MaeFuseImageProcessor, MaeFuseModel, MaeFuseOutput, image_files
from maefuse_hf.cameras import Box, open_infrared
from maefuse_hf.colour import WHITE, to_uint8
from maefuse_hf.false_colour import heat_of
from maefuse_hf.image_files import FORMATS_TEXT
from maefuse_hf.image_processing_maefuse import Limits, to_channels_first
from maefuse_hf.inference.coverage import blend_into_photo, infrared_in_photo
from maefuse_hf.inference.file_fusion import infrared_values, percentile_limits
from maefuse_hf.inference.file_registration import read_pair
from maefuse_hf.registration import Rig
from maefuse_hf.strategies import CONTOURS, DEFAULT_CONTOUR, DEFAULT_FUSION, Contour, FusionStrategy
from maefuse_hf.visualization import PALETTES, seen_infrared, thermal_overlay

NO_PALETTE = "none"
GAMMA_RANGE = (0.2, 3.0)
SIZE_LIMIT_RANGE = (256, 2048)
MOST_PIXELS = 12_500_000
"""The largest image that is decoded, whatever it shall be reduced to: the result has the photo's size, and memory grows
with it. Photos of 4032 × 3024 pixels, as phones take them, are within."""

EVEN_GREY = 0.5
LONGEST_QUOTED = 60


@dataclass(frozen=True)
class Settings:
    """What a person can choose; each field is a control of the page and a parameter of the API.

    colour: keep the photo's colours, or give a grey image.
    palette: colour what is hot by this thermal palette; "none", or a name in `maefuse_hf.visualization.PALETTES`.
    infrared_gamma: exponent of the infrared image in [0, 1] before fusion (paper, section 4.4); below 1 brightens.
    contour: what guides the merging, "cfm" (learned), "infrared" (paper, section 4.4) or "visible".
    size_limit: longest side in pixels at which the model works; the result has the photo's own size.
    resize_infrared: stretch infrared to the photo's size where they differ.
    align: find where infrared lies in the photo, and fuse it there.

    Raises:
        ValueError: a value of another type or out of range, or an unknown palette or contour.
    """

    colour: bool = True
    palette: str = NO_PALETTE
    infrared_gamma: float = 1.0
    contour: Contour = DEFAULT_CONTOUR
    size_limit: int = 1024
    resize_infrared: bool = False
    align: bool = False

    def __post_init__(self) -> None:
        for name in ("colour", "resize_infrared", "align"):
            switch = getattr(self, name)
            if not isinstance(switch, bool):
                raise ValueError(f"The setting {name} is {shortened(switch)}; choose True or False.")
        for name, value, (low, high) in (
            ("infrared gamma", self.infrared_gamma, GAMMA_RANGE),
            ("size limit", self.size_limit, SIZE_LIMIT_RANGE),
        ):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
                raise ValueError(f"The {name} is {shortened(value)}; choose {low} to {high}.")
        if self.palette not in (NO_PALETTE, *PALETTES):
            raise ValueError(
                f"There is no palette {shortened(self.palette)}; choose {NO_PALETTE}, {', '.join(PALETTES)}."
            )
        if self.contour not in CONTOURS:
            raise ValueError(
                f"Contours cannot come from {shortened(self.contour)}; choose one of {', '.join(CONTOURS)}."
            )


def shortened(value: object) -> str:
    """What came instead of a setting, as much of it as a message has room for."""
    text = repr(value)
    return text if len(text) <= LONGEST_QUOTED else f"{text[:LONGEST_QUOTED]}…"


@dataclass(frozen=True)
class Placed:
    """Where the pair lies in the whole photo, where infrared covers only a part of it.

    photo: RGB.
    region: left, top, right, bottom.
    weights: how much of the fused image each pixel of the region takes.
    infrared_range: the values that are black and white in infrared of 8 bits; None for the processor's percentiles of
        what is covered.
    """

    photo: Image.Image
    region: tuple[int, int, int, int]
    weights: np.ndarray
    infrared_range: Limits | None = None


@dataclass(frozen=True)
class UploadedPair:
    """Two images, opened and checked; where it is known where infrared lies, the part that it covers."""

    infrared: Image.Image
    visible: Image.Image
    placed: Placed | None = None


@dataclass(frozen=True)
class DemoFusion:
    """A model with its processor, and what the page asks of them."""

    model: MaeFuseModel
    processor: MaeFuseImageProcessor

    def prepare(self, pair: UploadedPair, settings: Settings) -> BatchFeature:
        """What goes into the model, on its device: infrared scaled to [0, 1] as the processor does, then its gamma."""
        check_sizes(pair, settings)
        overrides: dict[str, Any] = {"resize_infrared": settings.resize_infrared}
        # a model that was published with a size of its own keeps it
        own_size = self.processor.size  # type: ignore[attr-defined]
        if own_size is None and max(pair.visible.size) > settings.size_limit:
            overrides["size"] = dict.fromkeys(("shortest_edge", "longest_edge"), int(settings.size_limit))
        if pair.placed is not None:
            covered = np.asarray(pair.infrared)[pair.placed.weights > 0]
            overrides["infrared_range"] = pair.placed.infrared_range or percentile_limits(covered, self.processor)
        inputs = self.processor(
            infrared=pair.infrared,
            visible=pair.visible,
            return_tensors="pt",
            **overrides,
        ).to(self.model.device)
        inputs["infrared"] = inputs["infrared"] ** settings.infrared_gamma
        return inputs

    @torch.inference_mode()
    def run(
        self,
        inputs: BatchFeature,
        contour: Contour,
        fusion: FusionStrategy = DEFAULT_FUSION,
        attentions: bool = False,
        features: bool = False,
    ) -> MaeFuseOutput:
        """The model's output; `contour` counts only where the merging module runs."""
        guide = contour if fusion == "mfm" else DEFAULT_CONTOUR
        return self.model(
            **inputs, fusion=fusion, contour=guide, output_attentions=attentions, output_features=features
        )

    def run_empty(self, inputs: BatchFeature, contour: Contour) -> MaeFuseOutput:
        """The model's output, with its features, for two even grey images of the same size."""
        even = torch.full_like(inputs["infrared"], EVEN_GREY)
        return self.run(BatchFeature({"infrared": even, "visible": even}), contour, features=True)

    def fuse(self, pair: UploadedPair, settings: Settings, fusion: FusionStrategy = DEFAULT_FUSION) -> Image.Image:
        """The fused image at the photo's size: RGB, or grey without colour and palette.

        Raises:
            OSError, ValueError: for images that cannot be used, in words for the person who gave them.
        """
        inputs = self.prepare(pair, settings)
        outputs = self.run(inputs, settings.contour, fusion)
        image = self.processor.post_process_image_fusion(outputs, inputs)[0]
        if pair.placed is None:
            return finish(image, inputs, settings)
        fused = finish(image, inputs, replace(settings, colour=True))
        whole = blend_into_photo(pair.placed.photo, fused, pair.placed.region, pair.placed.weights)
        return whole if settings.colour or settings.palette != NO_PALETTE else whole.convert("L")

    def seen(self, pair: UploadedPair, settings: Settings) -> Image.Image:
        """The infrared image as the model sees it, grey, at the photo's size; black where it does not reach."""
        seen = as_grey_image(seen_infrared(self.prepare(pair, settings)))
        if pair.placed is None:
            return seen
        whole = Image.new("L", pair.placed.photo.size)
        whole.paste(seen, pair.placed.region[:2], as_grey_image((pair.placed.weights > 0).astype(np.float32)))
        return whole


def finish(image: Image.Image, inputs: BatchFeature, settings: Settings) -> Image.Image:
    """Take the colour, and put a thermal palette over it, as the settings say."""
    image = image if settings.colour else image.convert("L")
    if settings.palette == NO_PALETTE:
        return image
    return thermal_overlay(image, seen_infrared(inputs), settings.palette)


def open_pair(infrared: str | None, visible: str | None, place: Rig | None = None) -> UploadedPair:
    """Open two uploaded files, or a thermal camera's file that holds both images.

    Args:
        place: where infrared lies, in place of what the camera says.

    Raises:
        OSError, ValueError: what `open_image` raises, or there is no photo.
    """
    if place is not None:
        values, photo = read_whole_pair(infrared, visible)
        limits = (0, WHITE) if values.dtype == np.uint8 else None
        return placed_pair(values, photo, place, limits)
    image = open_image(infrared, "infrared image")
    assert infrared is not None  # `open_image` has asked for it
    try:
        thermal = open_infrared(infrared)
    except (OSError, ValueError) as error:
        raise without_path(error, infrared, visible) from error
    if thermal is None:
        return UploadedPair(image, open_image(visible, "photo"))
    values = infrared_values(thermal, "The infrared image", None, None)[0].astype(np.float32)
    if visible is not None:
        return UploadedPair(Image.fromarray(values), open_image(visible, "photo"))
    if thermal.visible is None:
        raise ValueError(f"The photo is missing: {thermal.camera} stored none in this file. Give the photo too.")
    photo = thermal.visible.convert("RGB")
    if thermal.infrared_box is None:
        return UploadedPair(Image.fromarray(values), photo)
    return placed_pair(values, photo, thermal.infrared_box)


def placed_pair(
    values: np.ndarray, photo: Image.Image, place: Box | Rig, infrared_range: Limits | None = None
) -> UploadedPair:
    """Infrared of its own size (h, w), in the part of the photo where it lies."""
    region, covering, weights = infrared_in_photo(values, place, photo.size)
    placed = Placed(photo, region, weights, infrared_range)
    return UploadedPair(Image.fromarray(covering), photo.crop(region), placed)


def read_whole_pair(infrared: str | None, visible: str | None) -> tuple[np.ndarray, Image.Image]:
    """Infrared (h, w) and the whole photo, RGB, each at its own size.

    Raises:
        OSError, ValueError: as `open_pair`.
    """
    open_pair(infrared, visible)
    assert infrared is not None  # it has asked for it
    try:
        return read_pair(infrared, visible)
    except (OSError, ValueError) as error:
        raise without_path(error, infrared, visible) from error


def without_path(error: Exception, infrared: str, visible: str | None) -> Exception:
    """The same error without a word about where the files lie."""
    words = str(error)
    for path, name in ((infrared, "infrared image"), (visible, "photo")):
        if path is not None:
            words = words.replace(f"infrared ({path})", f"The {name}").replace(f"visible ({path})", f"The {name}")
            words = words.replace(path, f"The {name}")
    return OSError(words) if isinstance(error, OSError) else ValueError(words)


def open_image(path: str | None, name: str) -> Image.Image:
    """Open one uploaded file, without a word about where it lies.

    Raises:
        OSError: if it is gone, no image, or damaged.
        ValueError: if none came, or it has too many pixels.
    """
    if path is None:
        raise ValueError(
            f"The {name} is missing. Give both: a thermal image and a photo of the same scene, or a "
            "radiometric file in which a thermal camera stored both."
        )
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise OSError(f"The {name} is no longer here: uploads are deleted soon. Upload it again.") from error
    try:
        image = image_files.open_image(io.BytesIO(content), f"The {name}")
    except OSError as error:
        raise OSError(f"The {name} is no image that can be read. Give {FORMATS_TEXT}.") from error
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise ValueError(
            f"The {name} is too large: {width} × {height} pixels are {width * height / 1e6:.1f} million, and "
            f"{MOST_PIXELS / 1e6:g} million are the most. Reduce it first."
        )
    try:
        image.load()
    except Exception as error:
        raise OSError(f"The {name} is damaged and cannot be read to its end. Copy or export it again.") from error
    return image


def doubts(pair: UploadedPair) -> list[str]:
    """What the person who gave a pair that can be fused should know of it, a sentence each."""
    infrared, visible = (
        to_channels_first(image_files.decode(image, name), prefer_first=False, name=name)
        for image, name in ((pair.infrared, "The infrared image"), (pair.visible, "The photo"))
    )
    sentences = [heat_of(infrared, "The infrared image", visible)[1]]
    for image, name in ((pair.infrared, "infrared image"), (pair.visible, "photo")):
        if (frames := getattr(image, "n_frames", 1)) > 1:
            sentences.append(f"The {name} holds {frames} pages or frames; only the first is used.")
    return [sentence for sentence in sentences if sentence]


def upright_photo(pair: UploadedPair) -> Image.Image:
    """The photo as it is to be looked at: upright, and its colours in sRGB; of a part, that part."""
    upright = ImageOps.exif_transpose(pair.visible)
    in_colours = not upright.mode.startswith(("1", "L", "I", "F"))
    return image_files.as_srgb(upright, "The photo") if in_colours and "icc_profile" in upright.info else upright


def whole_photo(pair: UploadedPair) -> Image.Image:
    """As `upright_photo`, and the whole photo where infrared covers a part of it."""
    return upright_photo(pair) if pair.placed is None else pair.placed.photo


def check_sizes(pair: UploadedPair, settings: Settings) -> None:
    """Raise a `ValueError` that says what to tick where the images differ in size."""
    infrared, visible = upright_size(pair.infrared, "infrared image"), upright_size(pair.visible, "photo")
    if infrared != visible and not settings.resize_infrared:
        raise ValueError(
            f"The infrared image is {infrared[0]} × {infrared[1]} pixels, the photo {visible[0]} × {visible[1]}. If "
            "both show the same view, tick “Resize infrared to the photo” (API: resize_infrared=True), else “Align "
            "infrared to the photo” (API: align=True), and fuse again."
        )


def upright_size(image: Image.Image, name: str) -> tuple[int, int]:
    """(width, height) as the image is to be looked at."""
    return image.size[::-1] if image_files.lies_on_its_side(image, f"The {name}") else image.size


def limited(settings: Settings, size_limit: int) -> Settings:
    """The same settings at no more than this size."""
    return replace(settings, size_limit=min(settings.size_limit, size_limit))


def as_grey_image(values: np.ndarray) -> Image.Image:
    """(H, W) in [0, 1] as an image of mode "L"."""
    return Image.fromarray(to_uint8(values))
