# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""What a camera sees now: the last frame of a source that is read in a thread of its own."""

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from .frames import Frame
from .video_file import VideoFile

SILENCE = 5.0
"""Seconds without a frame after which a source counts as gone."""

NETWORK = {"timeout": f"{SILENCE * 1e6:.0f}", "fflags": "nobuffer"}
"""For FFmpeg: a server that does not answer is given up (microseconds), and frames are not collected."""

CAMERAS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}"), "win32": ("dshow", "video={}")}
"""By platform, how FFmpeg opens the camera of a number; on Windows, of a name."""


class LiveSource:
    """A camera, a stream or a file, read as fast as it comes; only the last frame is kept.

    A file is played in real time, so that it stands for a camera.

    Args:
        source: a camera's number, an address such as `rtsp://…`, or a file.
        keep_depth: as for `VideoFile`.
        clock: seconds, for tests.

    Attributes:
        frames: how many came.
        ended: whether there will be no more; after a file's end, for instance.
        problem: why it ended, if it should not have.
        damaged: how many could not be decoded.

    Raises:
        OSError, ValueError: it cannot be opened.
    """

    def __init__(self, source: str, keep_depth: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self.name, self.clock = source, clock
        self.is_file = Path(source).is_file()
        self.video = opened(source, keep_depth, self.is_file)
        self.frames = self.damaged = 0
        self.ended = False
        self.problem = ""
        self.last: Frame | None = None
        self.news = threading.Condition()
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.read, name=f"read {source}", daemon=True)

    def __enter__(self) -> "LiveSource":
        self.thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stopping.set()
        # a camera that answers no more would hold the end up
        self.thread.join(timeout=1)
        if not self.thread.is_alive():
            self.video.container.close()

    def read(self) -> None:
        """Keep the last frame until the source ends or the work does."""
        begun = self.clock()
        try:
            for frame in self.video:
                if self.is_file:
                    self.stopping.wait(max(0.0, begun + frame.seconds - self.clock()))
                if self.stopping.is_set():
                    return
                if frame.pixels is None:
                    self.damaged += 1
                    continue
                with self.news:
                    self.last = Frame(self.clock(), frame.pixels)
                    self.frames += 1
                    self.news.notify_all()
            if not self.is_file:
                self.problem = f"{self.name} gives no more frames. Is it unplugged?"
        except (OSError, ValueError) as error:
            self.problem = str(error)
        finally:
            with self.news:
                self.ended = True
                self.news.notify_all()

    def after(self, known: int) -> tuple[Frame, int] | None:
        """The last frame, once more than `known` have come, and how many have; None where no more come.

        A source that is silent for `SILENCE` seconds counts as gone; `problem` says so.
        """
        with self.news:
            heard = self.news.wait_for(lambda: self.frames > known or self.ended, timeout=SILENCE)
            if self.frames > known and self.last is not None:
                return self.last, self.frames
            if not heard:
                self.problem = f"{self.name} has sent no frame for {SILENCE:g} s. Is it unplugged?"
            return None

    def newest(self) -> Frame | None:
        """The last frame, whether it is known or not; None where the source has ended or counts as gone."""
        with self.news:
            if self.ended or self.last is None:
                return None
            if self.clock() - self.last.seconds > SILENCE:
                self.problem = f"{self.name} has sent no frame for {SILENCE:g} s. Is it unplugged?"
                return None
            return self.last


def opened(source: str, keep_depth: bool, is_file: bool) -> VideoFile:
    """A file, address or camera, by what its name says."""
    if is_file or "://" in source:
        return VideoFile(source, keep_depth, options={} if is_file else NETWORK)
    if sys.platform in CAMERAS and (source.isdecimal() or sys.platform == "win32"):
        kind, pattern = CAMERAS[sys.platform]
        return VideoFile(pattern.format(source), keep_depth, kind=kind)
    raise OSError(f"{source}: there is no such file, and this is no camera's number and no address such as rtsp://…")
