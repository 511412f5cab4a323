# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Fused frames to a video file or a folder, as they come; whatever ends the work, what was written stays."""

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from PIL import Image

from ..image_files import write_image
from .video_file import reason, require_pyav

CODECS = {".mp4": "libx264", ".m4v": "libx264", ".mov": "libx264", ".mkv": "libx264", ".webm": "libvpx-vp9"}
"""The video formats that are written, and their encoders."""

QUALITY = 18
"""Constant rate factor: 0 is without loss, 51 the worst; one can hardly see 18."""

TICKS = Fraction(1, 90000)
"""The unit of time in the output, in which all usual frame rates are whole numbers."""

# A file of such pieces is playable up to the last one, even if the process is killed. In the end an MP4 becomes a plain
# file.
FLUSHED = {"flush_packets": "1"}
IN_PIECES = {
    "mp4": {"movflags": "+hybrid_fragmented+delay_moov", "frag_duration": "200000", **FLUSHED},  # microseconds
    "matroska": {"cluster_time_limit": "200", **FLUSHED},  # milliseconds
}
# Frames that an encoder holds back are lost with its process. B-frames wait for later ones, and by default some 40
# frames are looked at before one is written.
PROMPT = {
    "libx264": {"bf": "0", "x264-params": "rc-lookahead=10"},
    "libvpx-vp9": {"b": "0", "deadline": "good", "lag-in-frames": "10"},
}
KEY_FRAME_SECONDS = 2


class FrameWriter(Protocol):
    """Where fused frames go. It is a context manager; what was written when it ends is whole."""

    frames: int
    notes: list[str]

    def write(self, image: Image.Image, seconds: float, name: str) -> None:
        """Write the next frame, RGB, which is shown from that time on."""
        ...


class FrameFolder:
    """Fused frames as images of a folder.

    Args:
        folder: is made.
        suffix: of the images' names.
    """

    def __init__(self, folder: Path, suffix: str = ".png") -> None:
        self.folder, self.suffix = folder, suffix
        self.frames = 0
        self.notes: list[str] = []

    def __enter__(self) -> "FrameFolder":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def write(self, image: Image.Image, seconds: float, name: str) -> None:
        """Write a frame under its name."""
        write_image(image, self.path_of(name))
        self.frames += 1

    def holds(self, name: str) -> bool:
        """Whether a frame of that name is there; if so, it is whole, since each is renamed when it is written."""
        return self.path_of(name).is_file()

    def path_of(self, name: str) -> Path:
        """The file of a frame."""
        return self.folder / f"{name}{self.suffix}"


class VideoWriter:
    """Fused frames as a video file, H.264 or, for WebM, VP9.

    It is written beside and renamed when it ends, by an error or Ctrl-C too. What a killed process left beside is kept
    under another name. The first frame gives the size; one row or column is repeated where it is odd, since videos have
    colours for two pixels together.

    Args:
        path: of a suffix in `CODECS`.
        rate: frames a second, about; each frame has its own time.
        audio_from: a video whose sound is taken over as it is, for the time of the frames.
        quality: constant rate factor.

    Attributes:
        notes: what became of the sound, if it could not be kept, and of what a killed process left.

    Raises:
        OSError: PyAV is not installed, or the file cannot be written.
    """

    def __init__(self, path: Path, rate: Fraction, audio_from: Path | None = None, quality: int = QUALITY) -> None:
        require_pyav()
        self.path, self.rate, self.quality = path, rate, quality
        self.beside = path.with_name(f".{path.stem}.partial{path.suffix}")
        self.audio = AudioTrack(audio_from) if audio_from else None
        self.frames = 0
        self.notes: list[str] = []
        self.container: Any = None
        self.stream: Any = None
        self.size = (0, 0)
        self.first = self.last = 0.0

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End the file and give it its name; without frames there is none."""
        import av

        if self.container is None:
            return
        try:
            if self.frames:
                self.mux_audio(self.last + float(1 / self.rate))
                self.container.mux(self.stream.encode())
                self.container.close()
                self.beside.replace(self.path)
            else:
                # there is nothing to finish, and why there is not is being told already
                with suppress(av.FFmpegError, OSError):
                    self.container.close()
                self.beside.unlink(missing_ok=True)
        except (av.FFmpegError, OSError) as failure:
            raise OSError(f"{self.path} cannot be finished ({reason(failure)}). See {self.beside}.") from failure
        finally:
            if self.audio:
                self.audio.close()
                self.notes += self.audio.notes

    def write(self, image: Image.Image, seconds: float, name: str = "") -> None:
        """Write the next frame, later than the one before.

        Raises:
            OSError: it cannot be written, as on a full disk.
        """
        import av

        try:
            if self.container is None:
                self.open(image.size, seconds)
            ticks = round((seconds - self.first) / TICKS)
            if self.frames and ticks <= round((self.last - self.first) / TICKS):
                return
            frame = av.VideoFrame.from_ndarray(self.even(image))
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
            frame.pts, frame.time_base = ticks, TICKS
            self.mux_audio(seconds)
            self.container.mux(self.stream.encode(frame))
        except (av.FFmpegError, OSError) as error:
            raise OSError(f"{self.path} cannot be written ({reason(error)}).") from error
        self.frames += 1
        self.last = seconds

    def open(self, size: tuple[int, int], seconds: float) -> None:
        """Begin the file with a frame of that size and time."""
        import av

        if self.beside.exists():
            kept = self.path.with_name(f"{self.path.stem}.killed{self.path.suffix}")
            self.beside.replace(kept)
            self.notes.append(f"What a run that was killed had written is kept as {kept}.")
        pieces = IN_PIECES["mp4" if self.is_mp4 else "matroska"]
        self.container = av.open(str(self.beside), "w", options=pieces)
        self.size, self.first = size, seconds
        codec = CODECS[self.path.suffix.lower()]
        options = {"crf": str(self.quality), **PROMPT[codec]}
        self.stream = self.container.add_stream(codec, rate=self.rate, options=options)
        self.stream.width, self.stream.height = (side + side % 2 for side in size)
        self.stream.pix_fmt = "yuv420p"
        context = self.stream.codec_context
        context.time_base = TICKS
        context.gop_size = max(1, round(KEY_FRAME_SECONDS * self.rate))
        context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709
        context.color_range = 1  # 16 to 235
        if self.audio:
            self.audio.begin(self.container, seconds)
        self.container.start_encoding()

    @property
    def is_mp4(self) -> bool:
        """Whether it is of the MP4 family."""
        return self.path.suffix.lower() in (".mp4", ".m4v", ".mov")

    def mux_audio(self, until: float) -> None:
        """Write the sound up to that time."""
        for packet in self.audio.packets(until) if self.audio else ():
            self.container.mux(packet)

    def even(self, image: Image.Image) -> np.ndarray:
        """The image's pixels, of even sides and the video's size."""
        if image.size != self.size:
            image = image.resize(self.size, Image.Resampling.BICUBIC)
        rgb = np.asarray(image)
        return np.pad(rgb, ((0, self.size[1] % 2), (0, self.size[0] % 2), (0, 0)), mode="edge")


class AudioTrack:
    """The sound of a video, packet by packet and not decoded."""

    def __init__(self, path: Path) -> None:
        import av

        self.path = path
        self.notes: list[str] = []
        self.container = av.open(str(path))
        self.source: Any = next(iter(self.container.streams.audio), None)
        self.target: Any = None
        self.waiting: Any = None
        self.start = (self.container.start_time or 0) / av.time_base

    def begin(self, output: Any, seconds: float) -> None:
        """Take over into an output what is heard from that time on."""
        if self.source is None:
            return
        codec = self.source.codec_context.codec.canonical_name
        if codec not in output.supported_codecs:
            self.notes.append(
                f"{self.path}: sound of the kind {codec} does not fit the output; name it .mkv to keep it."
            )
            return
        self.target = output.add_stream_from_template(self.source)
        self.first = seconds
        self.incoming = self.demuxed()
        self.waiting = next(self.incoming, None)

    def demuxed(self) -> Iterator[Any]:
        """The packets from the beginning on, in the output's time."""
        import av

        shift = round((self.first + self.start) / self.source.time_base)
        try:
            for packet in self.container.demux(self.source):
                if packet.pts is None or packet.pts < shift:
                    continue
                packet.pts, packet.dts = packet.pts - shift, (packet.pts if packet.dts is None else packet.dts) - shift
                packet.stream = self.target
                yield packet
        except av.FFmpegError as error:
            self.notes.append(f"{self.path}: the sound is damaged ({reason(error)}); it ends early.")

    def packets(self, until: float) -> Iterator[Any]:
        """What is heard before that time and was not returned yet."""
        while self.waiting is not None and float(self.waiting.pts * self.source.time_base) < until - self.first:
            packet, self.waiting = self.waiting, next(self.incoming, None)
            yield packet

    def close(self) -> None:
        """Close the file."""
        self.container.close()
