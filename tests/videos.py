"""Tiny videos that tests make, and what is read of written ones."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SAMPLE_RATE = 8000


def write_video(
    path: Path, frames, rate=10, codec="libx264", source="rgb24", fmt="yuv420p", sound=0.0, damaged=(), times=None
) -> Path:
    """A video of arrays, each a key frame; `damaged` are the frames of which the data are nonsense.

    Args:
        sound: seconds of a tone.
        times: of the frames in units of 1 / rate; counted by default.
    """
    options = {"crf": "1", "bf": "0"} if codec == "libx264" else {}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.codec_context.gop_size = fmt, 1
        packets = []
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format=source)
            frame.pts, frame.time_base = times[number] if times else number, 1 / Fraction(rate)
            packets += stream.encode(frame)
        packets += stream.encode()
        if sound:
            tone = container.add_stream("aac", rate=SAMPLE_RATE)
            tone.layout = "mono"
        for number, packet in enumerate(packets):
            if number in damaged:
                nonsense = av.Packet(bytes(packet)[:4] + b"\xff" * 60)
                nonsense.pts, nonsense.dts, nonsense.time_base = packet.pts, packet.dts, packet.time_base
                nonsense.stream, packet = stream, nonsense
            container.mux(packet)
        if sound:
            wave = np.sin(np.arange(round(sound * SAMPLE_RATE)) * 0.3) * 9000
            audio = av.AudioFrame.from_ndarray(wave.astype(np.int16)[None], format="s16", layout="mono")
            audio.sample_rate = SAMPLE_RATE
            container.mux(tone.encode(audio))
            container.mux(tone.encode())
    return path


def read_video(path: Path) -> list[tuple[float, np.ndarray]]:
    """Times and RGB images of a video."""
    with av.open(str(path)) as container:
        return [(round(frame.time, 3), frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def sound_of(path: Path) -> np.ndarray | None:
    """The samples of a video's sound, from the beginning on; None without sound."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])


def grey_frames(*levels: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """RGB frames of even greys, by which frames can be told apart."""
    return [np.full((height, width, 3), level, np.uint8) for level in levels]
