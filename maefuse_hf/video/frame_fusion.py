# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Pairs of frames to fused frames, with what is remembered from one frame to the next."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import torch
from PIL import Image

from ..cameras import Box
from ..colour import WHITE, rgb_to_luminance, to_uint8
from ..false_colour import is_coloured
from ..image_processing_maefuse import Limits, MaeFuseImageProcessor
from ..inference.coverage import Region, blend_into_photo, border_gamma, infrared_in_photo
from ..modeling_maefuse import MaeFuseModel
from ..registration import Rig
from ..strategies import DEFAULT_CONTOUR, DEFAULT_FUSION, Contour, FusionStrategy
from .brightness import BrightnessSmoother
from .frames import FramePair, Pixels
from .infrared_range import RangeSmoother, share

SMOOTHING = 2.0
"""Time constant in seconds within which the same thing keeps its brightness."""

RANGE_SMOOTHING = 5.0
"""How many times longer the range of deep infrared is averaged. It moves all brightness at once."""

SAME_PROPORTIONS = 0.03
"""How much width / height may differ until it is said that infrared is stretched."""

FLAT, FLAT_EXTREMES = 2 / WHITE, 8 / WHITE
"""Up to which contrast, between percentiles and in all, a frame shows nothing: noise and a codec's ripple are left."""

NO_CONTENT = "infrared shows nothing, as under a closed shutter; the visible image was written as it is."
COLOURED = (
    "infrared is in colours; their luminance was taken for heat, though under most palettes hotter is not always "
    "brighter. Record it in grey (white hot)."
)
STRETCHED = (
    "infrared has other proportions than the visible video and was stretched over it. If it covers a part, say where: "
    "--infrared-box or --rig."
)
NO_VISIBLE_CONTENT = "the visible image shows nothing; infrared was written in its place."


@dataclass(frozen=True)
class FusedFrame:
    """A fused frame, RGB, and what is to be reported of it."""

    pair: FramePair
    image: Image.Image
    notes: tuple[str, ...]


@dataclass(frozen=True)
class PreparedPair:
    """What the model takes of a pair.

    Attributes:
        infrared: (h, w) float32 in [0, 1].
        visible: RGB; of the photo's part that infrared covers.
        photo: RGB, the whole photo.
        region, weights: where the part lies and how much of it shows, as from `infrared_in_photo`; None if infrared
            covers the whole photo.
        alone: what is written without fusing; None if the pair is fused.
    """

    pair: FramePair
    infrared: np.ndarray | None
    visible: Image.Image
    photo: Image.Image
    region: Region | None
    weights: np.ndarray | None
    alone: Image.Image | None
    notes: tuple[str, ...]


class FrameFuser:
    """Fuses the frames of one video in their order.

    Args:
        model, processor: as `load_checkpoint` gives them.
        smoothing: time constant in seconds of what is held steady; 0 fuses each frame for itself.
        infrared_range: raw values that become black and white; without them, smoothed percentiles of infrared deeper
            than 8 bits.
        place: where infrared lies, a box in pixels of the photo at its own size, or a rig; without either, infrared is
            stretched over the whole photo.
        shortest_edge: to which photos are made smaller before they are fused; never larger.
        fusion, contour: for the model.

    Raises:
        ValueError: smoothing below 0, a shortest edge below 1.
    """

    def __init__(
        self,
        model: MaeFuseModel,
        processor: MaeFuseImageProcessor,
        *,
        smoothing: float = SMOOTHING,
        infrared_range: Limits | None = None,
        place: Box | Rig | None = None,
        shortest_edge: int | None = None,
        fusion: FusionStrategy = DEFAULT_FUSION,
        contour: Contour = DEFAULT_CONTOUR,
    ) -> None:
        if not smoothing >= 0:
            raise ValueError(
                f"The smoothing is {smoothing} seconds. Give 0, which fuses each frame for itself, or more."
            )
        if shortest_edge is not None and shortest_edge < 1:
            raise ValueError(f"The shortest edge is {shortest_edge} pixels. Give 1 or more.")
        if infrared_range and not infrared_range[0] < infrared_range[1]:
            raise ValueError(f"The infrared range is {infrared_range}. Give two numbers, the lower one first.")
        self.model, self.processor = model, processor
        self.smoothing, self.infrared_range = smoothing, infrared_range
        self.place, self.shortest_edge = place, shortest_edge
        self.fusion, self.contour = fusion, contour
        self.range = RangeSmoother(RANGE_SMOOTHING * smoothing, processor.percentiles)
        self.brightness = BrightnessSmoother(smoothing)
        self.log_gamma: float | None = None
        self.scaled_at: float | None = None
        self.fused_at: float | None = None

    def fuse(self, pairs: Sequence[FramePair]) -> list[FusedFrame]:
        """Fuse the next pairs of the video; those of one size go through the model together.

        Returns:
            as many frames, of the photos' size, or of `shortest_edge`.

        Raises:
            ValueError: the box holds no pixel of the photo, or the model's image is not finite.
        """
        prepared = [self.prepare(pair) for pair in pairs]
        frames: list[FusedFrame] = []
        for size, group in groupby(prepared, key=lambda one: None if one.alone else one.visible.size):
            same = list(group)
            images = [one.alone for one in same if one.alone] if size is None else self.fuse_prepared(same)
            frames += [FusedFrame(one.pair, image, one.notes) for one, image in zip(same, images)]
        return frames

    def prepare(self, pair: FramePair) -> PreparedPair:
        """Scale infrared, make the photo smaller, and find what cannot be fused."""
        own = Image.fromarray(pair.visible)
        photo = self.shrunk(own)
        infrared = None if pair.infrared is None else self.unit_infrared(pair.infrared, pair.seconds)
        if infrared is None:
            notes = pair.notes if pair.infrared is None else (*pair.notes, NO_CONTENT)
            return PreparedPair(pair, None, photo, photo, None, None, photo, notes)
        notes = (*pair.notes, *self.doubts(pair))
        visible, region, weights = photo, None, None
        if self.place is not None:
            place = resized_place(self.place, own.size, photo.size)
            region, infrared, weights = infrared_in_photo(infrared, place, photo.size)
            visible = photo.crop(region)
            if not shows_content(infrared):
                return PreparedPair(pair, None, photo, photo, None, None, photo, (*notes, NO_CONTENT))
        rgb = np.asarray(visible)
        if (rgb == rgb[0, 0]).all():
            alone = photo if region else Image.fromarray(to_uint8(infrared)).resize(photo.size).convert("RGB")
            notes = (*notes, NO_VISIBLE_CONTENT)
            return PreparedPair(pair, infrared, visible, photo, region, weights, alone, notes)
        return PreparedPair(pair, infrared, visible, photo, region, weights, None, notes)

    def doubts(self, pair: FramePair) -> Iterator[str]:
        """What may be wrong with a pair that can be fused."""
        if pair.infrared is None:
            return
        if pair.infrared.ndim == 3 and is_coloured(np.moveaxis(pair.infrared, -1, 0)):
            yield COLOURED
        (height, width), (photo_height, photo_width) = pair.infrared.shape[:2], pair.visible.shape[:2]
        if self.place is None and abs(width * photo_height / (height * photo_width) - 1) > SAME_PROPORTIONS:
            yield STRETCHED

    def shrunk(self, photo: Image.Image) -> Image.Image:
        """The photo with the shortest edge that is wanted."""
        if self.shortest_edge is None or min(photo.size) <= self.shortest_edge:
            return photo
        scale = self.shortest_edge / min(photo.size)
        # videos have colours for two pixels together
        width, height = (max(2, 2 * round(side * scale / 2)) for side in photo.size)
        return photo.resize((width, height), Image.Resampling.BOX if scale <= 1 / 2 else Image.Resampling.BICUBIC)

    def unit_infrared(self, pixels: Pixels, seconds: float) -> np.ndarray | None:
        """Infrared as (h, w) float32 in [0, 1]; None where it shows nothing."""
        values = infrared_luminance(pixels)
        limits = self.infrared_range or ((0.0, float(WHITE)) if pixels.dtype == np.uint8 else None)
        if limits is None:
            if values.min() == values.max():
                return None
            if (held := self.range.held(values)) and not shows_content(scaled(values, held)):
                return None  # a closed shutter shall not move the range
            passed = 0.0 if self.scaled_at is None else seconds - self.scaled_at
            limits, self.scaled_at = self.range.update(values, passed), seconds
        unit = scaled(values, limits)
        return unit if shows_content(unit) else None

    @torch.inference_mode()
    def fuse_prepared(self, prepared: Sequence[PreparedPair]) -> list[Image.Image]:
        """Fused frames of prepared pairs of one size."""
        inputs = self.processor(
            infrared=[one.infrared for one in prepared if one.infrared is not None],
            visible=[one.visible for one in prepared],
            return_tensors="pt",
            resize_infrared=True,
        ).to(self.model.device)
        outputs = self.model(**inputs, fusion=self.fusion, contour=self.contour)
        passed = [self.passed(one.pair.seconds) for one in prepared]
        smoothed = [
            self.brightness.smooth(*frame)
            for frame in zip(outputs.fused.split(1), inputs["infrared"].split(1), inputs["visible"].split(1), passed)
        ]
        images = self.processor.post_process_image_fusion(torch.cat(smoothed), inputs)
        return [self.placed(*frame) for frame in zip(images, prepared, passed)]

    def passed(self, seconds: float) -> float:
        """Seconds since the last frame that was fused."""
        before, self.fused_at = self.fused_at, seconds
        return 0.0 if before is None else seconds - before

    def placed(self, fused: Image.Image, one: PreparedPair, passed: float) -> Image.Image:
        """The fused part in its photo, with the brightness at the border held steady too."""
        if one.region is None or one.weights is None:
            return fused
        log_gamma = float(np.log(border_gamma(one.photo, fused, one.region, one.weights)))
        if self.log_gamma is not None:
            weight = share(passed, self.smoothing)
            log_gamma = self.log_gamma + weight * (log_gamma - self.log_gamma)
        self.log_gamma = log_gamma
        return blend_into_photo(one.photo, fused, one.region, one.weights, float(np.exp(log_gamma)))


def resized_place(place: Box | Rig, own_size: tuple[int, int], size: tuple[int, int]) -> Box | Rig:
    """Where infrared lies in a photo that was resized, sizes as (width, height)."""
    if own_size == size:
        return place
    across, down = (new / own for new, own in zip(size, own_size))
    if not isinstance(place, Rig):
        return place[0] * across, place[1] * down, place[2] * across, place[3] * down
    if place.visible_size != own_size:
        # the rig's own message says what does not fit
        place.require_sizes(place.infrared_size, own_size)
    # width and height are rounded each for itself, so that a similarity is none any more
    return replace(
        place, visible_size=size, transform=np.diag((across, down, 1.0)) @ place.transform, model="homography"
    )


def infrared_luminance(pixels: Pixels) -> np.ndarray:
    """(h, w) float32 in the frame's own numbers; the luminance of a coloured one."""
    if pixels.ndim == 2:
        return pixels.astype(np.float32)
    return rgb_to_luminance(np.moveaxis(pixels, -1, 0).astype(np.float32))[0]


def scaled(values: np.ndarray, limits: Limits) -> np.ndarray:
    """(value - low) / (high - low), clipped to [0, 1], float32."""
    return ((values - limits[0]) / (limits[1] - limits[0])).clip(0, 1).astype(np.float32)


def shows_content(unit: np.ndarray) -> bool:
    """Whether an image in [0, 1] shows more than noise on an even grey."""
    low, high = np.percentile(unit, (1, 99))
    return bool(high - low > FLAT or unit.max() - unit.min() > FLAT_EXTREMES)
