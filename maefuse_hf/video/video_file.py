# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""A video file, read frame by frame."""

import importlib.util
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from .frames import Frame, Pixels

NEEDS_PYAV = "Video files are read and written by PyAV, which is not installed: pip install 'maefuse-hf[video]'."
USUAL_RATE = Fraction(25)
"""Frames a second of a video that does not say."""


def require_pyav() -> None:
    """Raise an `OSError` where PyAV is not installed."""
    if importlib.util.find_spec("av") is None:
        raise OSError(NEEDS_PYAV)


class VideoFile:
    """The first video stream of a file, a stream's address or a camera, decoded one frame at a time.

    Frames become RGB of 8 bits, upright as the file says.

    Args:
        source: a path, or what FFmpeg opens, such as an `rtsp://` address.
        keep_depth: grey of more than 8 bits keeps its own numbers.
        kind: of the source by FFmpeg's names, such as a camera's `v4l2`; by default found out.
        options: for FFmpeg.

    Raises:
        OSError: PyAV is not installed, or the source cannot be opened.
        ValueError: there are no images in it.
    """

    def __init__(
        self,
        source: str | Path,
        keep_depth: bool = False,
        kind: str | None = None,
        options: dict[str, str] | None = None,
    ) -> None:
        require_pyav()
        import av

        self.name, self.keep_depth = str(source), keep_depth
        try:
            self.container = av.open(self.name, format=kind, options={**self.safe(), **(options or {})})
        except (av.FFmpegError, OSError) as error:
            raise OSError(f"{source}: cannot be read as a video ({reason(error)}).") from error
        if not self.container.streams.video:
            self.container.close()
            raise ValueError(f"{source}: there are no images in this file.")
        self.stream = self.container.streams.video[0]
        self.rate = self.stream.average_rate or self.stream.guessed_rate or USUAL_RATE
        self.interval = float(1 / self.rate)
        self.start = (self.container.start_time or 0) / av.time_base

    def safe(self) -> dict[str, str]:
        """Options under which a file opens no address that is named in it."""
        return {"protocol_whitelist": "file"} if Path(self.name).is_file() else {}

    def __enter__(self) -> "VideoFile":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.container.close()

    @property
    def seconds(self) -> float | None:
        """How long it is, as far as the file says."""
        if self.stream.duration and self.stream.time_base:
            return float(self.stream.duration * self.stream.time_base)
        return self.container.duration / 1e6 if self.container.duration else None

    @property
    def count(self) -> int | None:
        """How many frames there are, about, as far as the file says."""
        if self.stream.frames:
            return self.stream.frames
        return round(self.seconds * self.rate) if self.seconds else None

    def __iter__(self) -> Iterator[Frame]:
        """Frames in the order of their times; of one that cannot be decoded the problem alone.

        Raises:
            OSError: the file ends in the middle, or the camera is gone.
        """
        import av

        missing: list[float] = []
        seconds = -self.interval
        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                break
            except (av.FFmpegError, OSError) as error:
                raise OSError(f"{self.name}: reading ended after {seconds:.2f} s ({reason(error)}).") from error
            try:
                decoded = packet.decode()
            except av.FFmpegError:
                missing.append(self.time(packet, seconds))
                continue
            for frame in decoded:
                seconds = self.time(frame, seconds)
                # what could not be decoded is known in the order of the file, and told in the order of time
                yield from (self.undecoded(early) for early in sorted(missing) if early < seconds)
                missing = [late for late in missing if late >= seconds]
                # what a decoder has patched up is not what the camera saw
                yield self.undecoded(seconds) if frame.is_corrupt else Frame(seconds, pixels_of(frame, self.keep_depth))
        yield from map(self.undecoded, sorted(missing))

    def time(self, timed: Any, before: float) -> float:
        """Seconds from the file's beginning of a frame or packet; one without time follows the one before."""
        if timed.pts is None or timed.time_base is None:
            return before + self.interval
        return float(timed.pts * timed.time_base) - self.start

    def undecoded(self, seconds: float) -> Frame:
        """The place of a frame that cannot be decoded."""
        return Frame(seconds, None, f"{self.name} is damaged there.")


def pixels_of(frame: Any, keep_depth: bool) -> Pixels:
    """A decoded frame, upright."""
    deep_grey = keep_depth and frame.format.name.startswith("gray") and frame.format.components[0].bits > 8
    pixels = frame.to_ndarray() if deep_grey else frame.to_ndarray(format="rgb24")
    # FFmpeg counts the angle by which the image is turned for display counterclockwise, as numpy does
    return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))


def reason(error: BaseException) -> str:
    """What FFmpeg says of an error, without what the message says already."""
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
