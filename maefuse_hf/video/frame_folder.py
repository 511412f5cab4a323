# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Two folders of same-named images as the frames of a video."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from ..cameras import open_infrared
from ..image_files import decode
from ..image_processing_maefuse import Limits, MaeFuseImageProcessor
from ..inference.file_fusion import infrared_pixels, infrared_values, photo_8_bit
from ..inference.pairs import PairPaths, match_pairs
from .frames import Frame, FramePair, Held, Pixels
from .pairing import LONGEST_GAP, NO_INFRARED


class FolderPairs:
    """The images of two folders by name, in the order of their names.

    Args:
        infrared, visible: the folders. Infrared may be camera files or images of any depth.
        rate: frames a second.
        processor: says how photos of more than 8 bits are scaled.
        unit: of infrared's pixels, as in `maefuse_hf.cameras.UNITS`.
        raw_range: what becomes black and white, where this is no temperature.

    Attributes:
        notes: images that have no partner; after iteration, also what could not be shown.

    Raises:
        OSError: a folder cannot be read.
        ValueError: there are no pairs in them.
    """

    def __init__(
        self,
        infrared: Path,
        visible: Path,
        rate: float,
        processor: MaeFuseImageProcessor,
        unit: str | None = None,
        raw_range: Limits | None = None,
    ) -> None:
        self.pairs, self.notes = match_pairs(infrared, visible)
        if not self.pairs:
            raise ValueError(f"{infrared} and {visible} hold no images of the same names.")
        self.places = {pair.name: place for place, pair in enumerate(self.pairs)}
        self.interval, self.processor = 1 / rate, processor
        self.unit, self.raw_range = unit, raw_range

    @property
    def count(self) -> int:
        """How many pairs there are."""
        return len(self.pairs)

    def __iter__(self) -> Iterator[FramePair]:
        held_infrared, held_visible = Held(), Held()
        for index, pair in enumerate(self.pairs):
            seconds = index * self.interval
            held_infrared.take(read(partial(self.infrared, pair), seconds))
            held_visible.take(read(partial(self.visible, pair), seconds))
            if held_visible.pixels is None:
                self.notes.append(f"{pair.name}: {' '.join(held_visible.notes)} Nothing was written for it.")
                continue
            infrared = held_infrared.at(seconds, max(LONGEST_GAP, self.interval))
            lost = (NO_INFRARED,) if infrared is None else ()
            notes = (*held_visible.notes, *held_infrared.notes, *lost)
            yield FramePair(pair.name, seconds, infrared, held_visible.pixels, notes)

    def later(self, name: str, places: int) -> str:
        """The name of the pair that comes so many places later; empty where there is none."""
        place = self.places[name] + places
        return self.pairs[place].name if place < len(self.pairs) else ""

    def infrared(self, pair: PairPaths) -> Pixels:
        """Infrared's own numbers; temperatures where the file knows them and no raw range is given."""
        thermal = open_infrared(pair.infrared, self.unit)
        if thermal is None:
            return infrared_pixels(pair.infrared)
        return infrared_values(thermal, pair.infrared, None, self.raw_range)[0]

    def visible(self, pair: PairPaths) -> Pixels:
        """The photo, RGB of 8 bits."""
        pixels = decode(pair.visible, f"visible ({pair.visible})")
        if pixels.dtype != np.uint8:
            return np.asarray(photo_8_bit(pair.visible, self.processor, None))
        return pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)


def read(pixels: Callable[[], Pixels], seconds: float) -> Frame:
    """A frame, or why there is none."""
    try:
        return Frame(seconds, pixels())
    except (OSError, ValueError) as error:
        return Frame(seconds, None, str(error))
