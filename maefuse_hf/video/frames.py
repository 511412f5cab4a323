# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""What is read of videos: frames and pairs of them, and at which times something happened."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np

Pixels = np.ndarray
"""(h, w, 3) uint8 RGB, or (h, w) grey in its own numbers: uint8, uint16, or float32 where these are temperatures."""


@dataclass(frozen=True)
class Frame:
    """One image of a video.

    Attributes:
        seconds: when it is shown, from the video's beginning.
        pixels: None where it cannot be read.
        problem: why it cannot.
    """

    seconds: float
    pixels: Pixels | None
    problem: str = ""


class FrameSource(Protocol):
    """A video, whatever it comes from."""

    name: str
    interval: float
    """Seconds from one frame to the next."""

    @property
    def count(self) -> int | None:
        """How many frames there are, about, where that is known."""
        ...

    def __iter__(self) -> Iterator[Frame]:
        """Frames in the order of their times."""
        ...


@dataclass(frozen=True)
class FramePair:
    """A visible frame and what infrared saw at that time.

    Attributes:
        name: of the output, where each frame becomes a file.
        seconds: of the visible frame.
        infrared: None where nothing near in time could be read.
        visible: (h, w, 3) uint8 RGB; where the frame cannot be read, the last that could.
        notes: what is to be reported of this frame.
    """

    name: str
    seconds: float
    infrared: Pixels | None
    visible: Pixels
    notes: tuple[str, ...] = ()


class NamedPairs(Protocol):
    """Pairs in the order of their times, by whose names one can count."""

    interval: float
    """Seconds from one pair to the next."""

    def later(self, name: str, places: int) -> str:
        """The name of the pair that comes so many places later; empty where there is none."""
        ...

    def __iter__(self) -> Iterator[FramePair]:
        """The pairs."""
        ...


class Held:
    """The last frame of a video that could be read."""

    def __init__(self) -> None:
        self.pixels: Pixels | None = None
        self.seconds = 0.0
        self.notes: tuple[str, ...] = ()

    def take(self, frame: Frame) -> None:
        """Go on to the next frame; where it cannot be read, the one before stays, and `notes` say so."""
        if frame.pixels is not None:
            self.pixels, self.seconds, self.notes = frame.pixels, frame.seconds, ()
        elif self.pixels is None:
            self.notes = (frame.problem,)
        else:
            self.notes = (f"{frame.problem} The last frame that could be read was used.",)

    def at(self, seconds: float, longest_gap: float) -> Pixels | None:
        """The frame, unless it is further away in time than that."""
        return self.pixels if abs(seconds - self.seconds) <= longest_gap else None


@dataclass
class Span:
    """Neighbouring frames of which the same is to be said."""

    first: float
    last: float
    frames: int = 1
    index: int = 0

    def __str__(self) -> str:
        if self.frames == 1:
            return f"{self.first:.2f} s"
        return f"{self.first:.2f} to {self.last:.2f} s ({self.frames} frames)"


@dataclass
class Occurrences:
    """What happened when: one line for each thing, however many frames it happened in."""

    SHOWN: ClassVar[int] = 5
    """Spans of a thing that are listed."""

    spans: dict[str, list[Span]] = field(default_factory=dict)

    def add(self, what: str, seconds: float, index: int) -> None:
        """Note that something happened at the frame of this index."""
        known = self.spans.setdefault(what, [])
        if known and index <= known[-1].index + 1:
            known[-1].last, known[-1].index = seconds, index
            known[-1].frames += 1
        else:
            known.append(Span(seconds, seconds, index=index))

    def lines(self) -> list[str]:
        """A sentence for each thing, with its times."""
        return [
            f"{', '.join(map(str, spans[: self.SHOWN]))}{self.rest(spans)}: {what}"
            for what, spans in self.spans.items()
        ]

    def rest(self, spans: list[Span]) -> str:
        """How many further spans there are."""
        further = spans[self.SHOWN :]
        return f" and {len(further)} times more ({sum(span.frames for span in further)} frames)" if further else ""
