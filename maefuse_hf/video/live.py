# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Two cameras to fused frames, as many as there is time for."""

from collections.abc import Iterator
from dataclasses import dataclass

from .frame_fusion import FrameFuser, FusedFrame
from .frames import FramePair
from .live_source import LiveSource
from .pairing import LONGEST_GAP, NO_INFRARED


@dataclass
class LiveReport:
    """What came of it.

    Attributes:
        fused: frames.
        dropped: visible frames that there was no time for.
        seconds: from the first frame to the last.
        problem: which source ended that should not have, and why.
    """

    fused: int = 0
    dropped: int = 0
    seconds: float = 0.0
    problem: str = ""

    @property
    def rate(self) -> float:
        """Frames a second."""
        return (self.fused - 1) / self.seconds if self.seconds else 0.0


def fuse_live(
    infrared: LiveSource,
    visible: LiveSource,
    fuser: FrameFuser,
    report: LiveReport,
    longest: float | None = None,
) -> Iterator[FusedFrame]:
    """Fuse the last frame of each source, again and again; frames that came meanwhile are dropped.

    Ends when a source does, or after `longest` seconds.

    Args:
        infrared, visible: both begun.
        report: filled while it goes on.

    Yields:
        fused frames; `pair.seconds` counts from the first.

    Raises:
        ValueError: what the fuser raises.
    """
    known = 0
    begun: float | None = None
    heat = infrared.after(0)
    while heat is not None and (photo := visible.after(known)) is not None:
        frame, number = photo
        report.dropped += number - known - 1 if begun is not None else 0
        known = number
        begun = frame.seconds if begun is None else begun
        seconds = frame.seconds - begun
        if longest is not None and seconds > longest:
            return
        # whoever ends early has still given one pair
        last = infrared.newest() if report.fused else heat[0]
        if last is None:
            break
        assert frame.pixels is not None  # a source keeps no frame that it could not decode
        is_near = abs(last.seconds - frame.seconds) <= LONGEST_GAP
        pair = FramePair(
            f"{report.fused:06d}",
            seconds,
            last.pixels if is_near else None,
            frame.pixels,
            () if is_near else (NO_INFRARED,),
        )
        (fused,) = fuser.fuse([pair])
        report.fused, report.seconds = report.fused + 1, seconds
        yield fused
    report.problem = " ".join(source.problem for source in (infrared, visible) if source.problem)
