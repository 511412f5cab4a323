"""A short clip: two uploaded videos in, a fused one out, within bounds that the page names beforehand."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path

from fusing import MOST_PIXELS, DemoFusion

from maefuse_hf.video import FrameFuser, NearestPairs
from maefuse_hf.video.fusing import VideoReport, fuse_video
from maefuse_hf.video.video_file import VideoFile
from maefuse_hf.video.writing import VideoWriter

MOST_FRAMES = 100
SHORTEST_EDGE = 240
"""To which frames are made smaller."""

CLIP_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi")
CLIP_FORMATS = "mov,mp4,matroska,webm,avi"
"""By FFmpeg's names. Some of the other formats name files and addresses, which FFmpeg would open."""

BOUNDS = (
    f"The first {MOST_FRAMES} frames are fused, made smaller to {SHORTEST_EDGE} pixels; without a graphics card it "
    "takes a while."
)


def fuse_clip(
    fuser: DemoFusion,
    infrared: str | None,
    visible: str | None,
    offset: float,
    target: Path,
    progress: Callable[[int], object],
) -> list[str]:
    """Fuse the beginning of two videos.

    Args:
        infrared, visible: uploaded files.
        offset: seconds by which infrared was started later.
        target: the video to write.
        progress: told how many further frames are done.

    Returns:
        what is to be said of it, a sentence each.

    Raises:
        OSError, ValueError: in words for the person who gave them, without a word about where files lie.
    """
    if isinstance(offset, bool) or not isinstance(offset, (int, float)) or not abs(offset) < 3600:
        raise ValueError("The offset is no number of seconds. Give one, such as 0.5.")
    names: dict[str, str] = {}
    for path, name in ((infrared, "The infrared video"), (visible, "The photo's video")):
        if path is None:
            raise ValueError(f"{name} is missing. Give both: a thermal and a visible video of the same view.")
        names[path] = name
    try:
        with opened(infrared) as heat, opened(visible) as photo:
            pairs, report = NearestPairs(heat, photo, offset), VideoReport()
            frames = FrameFuser(fuser.model, fuser.processor, shortest_edge=SHORTEST_EDGE)
            with VideoWriter(target, photo.rate, Path(photo.name)) as writer:
                fuse_video(islice(pairs, MOST_FRAMES), frames, writer, report, progress=progress)
            more = photo.count is not None and report.frames == MOST_FRAMES < photo.count
        if not report.frames:
            raise ValueError(" ".join(pairs.notes) or "There is no frame that both videos share.")
    except (OSError, ValueError) as error:
        raise type(error)(without_paths(str(error), names)) from error
    said = [*pairs.notes, *writer.notes, *report.occurrences.lines()]
    if more:
        said.append(f"Only the first {MOST_FRAMES} frames were fused.")
    return [without_paths(sentence, names) for sentence in said]


def opened(path: str | None) -> VideoFile:
    """An uploaded video of a known format; a `ValueError` if its frames are too large."""
    assert path is not None
    video = VideoFile(path, options={"format_whitelist": CLIP_FORMATS})
    if video.stream.width * video.stream.height > MOST_PIXELS:
        video.container.close()
        raise ValueError(f"{path}: frames of more than {MOST_PIXELS / 1e6:g} million pixels are too large.")
    return video


def without_paths(sentence: str, names: dict[str, str]) -> str:
    """A sentence in which files are called what the page calls them."""
    for path, name in names.items():
        sentence = sentence.replace(path, name)
    return sentence
