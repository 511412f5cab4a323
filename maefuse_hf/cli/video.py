# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""`maefuse video`: two videos, or two folders of frames."""

import argparse
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..cameras import UNITS
from ..inference.checkpoint import load_checkpoint
from ..registration import load_rig
from ..video.frame_folder import FolderPairs
from ..video.frame_fusion import SMOOTHING, FrameFuser
from ..video.frames import FramePair
from ..video.fusing import VideoReport, fuse_video, unwritten
from ..video.pairing import NearestPairs
from ..video.video_file import USUAL_RATE, VideoFile, require_pyav
from ..video.writing import CODECS, QUALITY, FrameFolder, VideoWriter
from .options import DTYPES, STOPPED, make_folder, model_options, refuse_overwriting, require_there, strategy_options


def add_video(commands: Any) -> None:
    """Add `maefuse video` to the subcommands."""
    parser = commands.add_parser(
        "video",
        parents=[model_options(), strategy_options(), frame_options()],
        help="fuse two videos, or two folders of same-named frames",
        description="Fuse an infrared and a visible video, frame by frame, at the visible video's size and with its "
        "sound. Each visible frame gets the infrared frame that is nearest in time. Of folders, images of the same "
        "name are frames.",
    )
    parser.add_argument("infrared", type=Path, help="video or folder of images, 8 or 16 bit, hot things bright")
    parser.add_argument("visible", type=Path, help="video or folder of images")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help=f"video ({', '.join(CODECS)}), or folder for images"
    )
    parser.add_argument(
        "--offset",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="by which infrared was started later than visible; default: 0",
    )
    parser.add_argument(
        "--fps", type=Fraction, default=USUAL_RATE, help=f"of folders: frames a second; default: {USUAL_RATE}"
    )
    parser.add_argument("--infrared-unit", choices=UNITS, help="of folders: unit of the pixels of infrared")
    parser.add_argument("--batch-size", type=int, default=1, help="frames that go through the model together")
    parser.add_argument(
        "--resume", action="store_true", help="into a folder: go on after the frames that are there from a run before"
    )
    parser.set_defaults(command=run_video)


def frame_options() -> argparse.ArgumentParser:
    """A parent parser: what `maefuse video` and `maefuse live` do with frames."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--size",
        type=int,
        metavar="PIXELS",
        help="shortest edge to which frames are made smaller before they are fused, for speed; default: their own",
    )
    parser.add_argument(
        "--smoothing",
        type=float,
        default=SMOOTHING,
        metavar="SECONDS",
        help="within which the same thing keeps its brightness; 0 fuses each frame for itself; default: %(default)s",
    )
    places = parser.add_mutually_exclusive_group()
    places.add_argument(
        "--infrared-box",
        type=float,
        nargs=4,
        metavar=("LEFT", "TOP", "RIGHT", "BOTTOM"),
        help="where infrared lies, in pixels of the visible video; default: it is stretched over all of it",
    )
    places.add_argument(
        "--rig", type=Path, metavar="JSON", help="where infrared lies, as `maefuse align` wrote it for this camera"
    )
    parser.add_argument(
        "--infrared-range",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="raw values that become black and white; default: percentiles, smoothed, of infrared deeper than 8 bits",
    )
    parser.add_argument(
        "--quality",
        type=int,
        default=QUALITY,
        help="of a video that is written: 0 is lossless, 51 the worst; default: %(default)s",
    )
    return parser


def run_video(options: argparse.Namespace) -> int:
    """`maefuse video`: what was fused until an error or Ctrl-C is kept."""
    sources = options.infrared, options.visible
    of_folders, to_folder = options.visible.is_dir(), not options.output.suffix
    check(options, of_folders, to_folder)
    rig = load_rig(options.rig) if options.rig else None
    model, processor = load_checkpoint(options.model, options.device, DTYPES[options.dtype])
    fuser = FrameFuser(
        model,
        processor,
        smoothing=options.smoothing,
        infrared_range=options.infrared_range,
        place=rig or options.infrared_box,
        shortest_edge=options.size,
        fusion=options.fusion,
        contour=options.contour,
    )
    report = VideoReport()
    with ExitStack() as opened:
        if of_folders:
            pairs: FolderPairs | NearestPairs = FolderPairs(
                *sources, float(options.fps), processor, options.infrared_unit, options.infrared_range
            )
            rate, sound = options.fps, None
        else:
            infrared, visible = (
                opened.enter_context(VideoFile(path, keep_depth=path == options.infrared)) for path in sources
            )
            pairs = NearestPairs(infrared, visible, options.offset)
            rate, sound = visible.rate, options.visible
        make_folder(options.output if to_folder else options.output.parent)
        writer: FrameFolder | VideoWriter
        writer = FrameFolder(options.output) if to_folder else VideoWriter(options.output, rate, sound, options.quality)
        status = fuse_and_keep(pairs, fuser, writer, report, options)
    for note in (*pairs.notes, *writer.notes, *report.occurrences.lines()):
        print(f"maefuse: {note}", file=sys.stderr)
    kept = f" {report.kept} were there already." if report.kept else ""
    print((f"{report.frames} frames written to {options.output}." if report.frames else "Nothing was written.") + kept)
    return status or int(report.damaged > 0 or not report.frames + report.kept)


def fuse_and_keep(
    pairs: FolderPairs | NearestPairs,
    fuser: FrameFuser,
    writer: FrameFolder | VideoWriter,
    report: VideoReport,
    options: argparse.Namespace,
) -> int:
    """Fuse until the end, an error or Ctrl-C; the exit status."""
    kept = "What was fused until then is kept."
    if isinstance(writer, FrameFolder):
        kept += " The same command with --resume goes on there."
    try:
        with writer, tqdm(total=pairs.count, unit="frame") as bar:
            left: Iterable[FramePair] = pairs
            if options.resume and isinstance(writer, FrameFolder):
                left = unwritten(pairs, fuser, writer, report, bar.update)
            fuse_video(left, fuser, writer, report, options.batch_size, bar.update)
    except KeyboardInterrupt:
        print(f"maefuse: stopped. {kept}", file=sys.stderr)
        return STOPPED
    except (OSError, ValueError) as error:
        print(f"maefuse: {error} {kept}", file=sys.stderr)
        return 1
    return 0


def check(options: argparse.Namespace, of_folders: bool, to_folder: bool) -> None:
    """Raise an `OSError` or `ValueError` for what cannot work, before any work is done."""
    sources = options.infrared, options.visible
    require_there(sources)
    if options.infrared.is_dir() != of_folders:
        raise ValueError(
            f"{options.infrared} and {options.visible} are a folder and a file; give two videos or two folders of "
            "images."
        )
    if options.resume and not to_folder:
        raise ValueError(
            "--resume goes on with a folder of images, and a written video cannot be continued. Give a folder in place "
            f"of {options.output}, or leave --resume out to begin anew."
        )
    if not (of_folders and to_folder):
        require_pyav()
    if not to_folder:
        require_video_suffix(options.output)
    if options.batch_size < 1:
        raise ValueError(f"The batch size is {options.batch_size}. Give 1 or more.")
    if options.fps <= 0:
        raise ValueError(f"{options.fps} frames a second were given. Give more than 0.")
    refuse_overwriting([options.output], sources)


def require_video_suffix(path: Path) -> None:
    """Raise a `ValueError` where a path does not name a video of a format that is written."""
    if path.suffix.lower() not in CODECS:
        raise ValueError(
            f"{path} has no video suffix that can be written; name it like fused.mp4, or give a folder. There are "
            f"{', '.join(CODECS)}."
        )
    if path.is_dir():
        raise ValueError(f"{path} is a folder; -o names the video to write.")
