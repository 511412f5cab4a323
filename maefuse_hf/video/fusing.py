# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""From pairs of frames to a written video."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from .frame_fusion import FrameFuser
from .frames import FramePair, NamedPairs, Occurrences
from .writing import FrameFolder, FrameWriter

WARM_UP = 3
"""Time constants of smoothing over which frames that are there already are fused again, so that the next ones fit."""


@dataclass
class VideoReport:
    """What came of a video.

    Attributes:
        frames: how many were written.
        kept: how many were there from a run before.
        occurrences: what is to be told of them.
        damaged: how many could not be read as they were.
    """

    frames: int = 0
    kept: int = 0
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


def unwritten(
    pairs: NamedPairs,
    fuser: FrameFuser,
    folder: FrameFolder,
    report: VideoReport,
    progress: Callable[[int], object] = lambda frames: None,
) -> Iterator[FramePair]:
    """The pairs from the first on of which the folder holds no frame.

    What the fuser remembers comes from the pairs before: the last of them are fused again (`WARM_UP`) and of the others
    the range of infrared is taken, which is averaged for longer and costs little.

    Args:
        report, progress: told of the frames that are there.
    """
    warm_up = math.ceil(WARM_UP * fuser.smoothing / pairs.interval)
    incoming = iter(pairs)
    for pair in incoming:
        if not folder.holds(pair.name):
            yield pair
            break
        if warm_up and folder.holds(pairs.later(pair.name, warm_up)):
            fuser.prepare(pair)
        elif warm_up:
            fuser.fuse([pair])
        report.kept += 1
        progress(1)
    yield from incoming
