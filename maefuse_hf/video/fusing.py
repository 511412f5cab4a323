# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""From pairs of frames to a written video."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice

from .frame_fusion import FrameFuser
from .frames import FramePair, Occurrences
from .writing import FrameWriter


@dataclass
class VideoReport:
    """What came of a video.

    Attributes:
        frames: how many were written.
        occurrences: what is to be told of them.
        damaged: how many could not be read as they were.
    """

    frames: int = 0
    damaged: int = 0
    occurrences: Occurrences = field(default_factory=Occurrences)


def fuse_video(
    pairs: Iterable[FramePair],
    fuser: FrameFuser,
    writer: FrameWriter,
    report: VideoReport,
    batch_size: int = 1,
    progress: Callable[[int], object] = lambda frames: None,
) -> None:
    """Fuse pairs as they come and write them; what is held at a time is one batch.

    Args:
        report: filled while it goes on, so that it holds what was done if an error or Ctrl-C ends it.
        progress: told how many frames were written.

    Raises:
        OSError, ValueError: what reading, fusing and writing raise.
    """
    incoming = iter(pairs)
    while batch := list(islice(incoming, batch_size)):
        for pair in batch:
            report.damaged += bool(pair.notes)
        for fused in fuser.fuse(batch):
            writer.write(fused.image, fused.pair.seconds, fused.pair.name)
            for note in fused.notes:
                report.occurrences.add(note, fused.pair.seconds, report.frames)
            report.frames += 1
        progress(len(batch))
