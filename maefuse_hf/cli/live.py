# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""`maefuse live`: two cameras, or streams, while they film."""

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..inference.checkpoint import load_checkpoint
from ..registration import load_rig
from ..video.frame_fusion import FrameFuser
from ..video.frames import Occurrences
from ..video.live import LiveReport, fuse_live
from ..video.live_source import LiveSource
from ..video.mjpeg_page import MjpegPage
from ..video.video_file import require_pyav
from ..video.writing import CODECS, VideoWriter
from .options import DTYPES, make_folder, model_options, refuse_overwriting, strategy_options
from .video import frame_options, require_video_suffix

PORT = 8000


def add_live(commands: Any) -> None:
    """Add `maefuse live` to the subcommands."""
    parser = commands.add_parser(
        "live",
        parents=[model_options(), strategy_options(), frame_options()],
        help="fuse what two cameras or streams show now",
        description="Fuse the last frame of two cameras or streams, again and again, and show it on a page of this "
        "machine or write it to a video. Frames that come meanwhile are dropped. A file is played in real time.",
    )
    what = "camera's number (on Windows, its name), address such as rtsp://…, or file"
    parser.add_argument("--infrared", required=True, metavar="SOURCE", help=what)
    parser.add_argument("--visible", required=True, metavar="SOURCE", help=what)
    parser.add_argument("-o", "--output", type=Path, help=f"video to write ({', '.join(CODECS)})")
    parser.add_argument(
        "--http", type=int, metavar="PORT", help=f"show the video on http://127.0.0.1:PORT; without -o, on {PORT}"
    )
    parser.add_argument("--duration", type=float, metavar="SECONDS", help="end by itself; default: by Ctrl-C")
    parser.set_defaults(command=run_live)


def run_live(options: argparse.Namespace) -> int:
    """`maefuse live`: until a source ends, the time is over, or Ctrl-C, which is the usual end."""
    require_pyav()
    if options.output:
        require_video_suffix(options.output)
        refuse_overwriting([options.output], [Path(source) for source in (options.infrared, options.visible)])
        make_folder(options.output.parent)
    rig = load_rig(options.rig) if options.rig else None
    infrared, visible = LiveSource(options.infrared, keep_depth=True), LiveSource(options.visible)
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
    report, told = LiveReport(), Occurrences()
    with ExitStack() as begun:
        page = writer = None
        if options.http is not None or not options.output:
            page = begun.enter_context(MjpegPage(PORT if options.http is None else options.http))
            print(f"Look at {page.address}. Ctrl-C ends.", flush=True)
        if options.output:
            writer = begun.enter_context(VideoWriter(options.output, visible.video.rate, quality=options.quality))
        bar = begun.enter_context(tqdm(unit="frame"))
        for source in (infrared, visible):
            begun.enter_context(source)
        try:
            for fused in fuse_live(infrared, visible, fuser, report, options.duration):
                if writer:
                    writer.write(fused.image, fused.pair.seconds)
                if page:
                    page.show(fused.image)
                for note in fused.notes:
                    told.add(note, fused.pair.seconds, report.fused)
                bar.set_postfix(dropped=report.dropped, refresh=False)
                bar.update()
        except KeyboardInterrupt:
            pass
        except (OSError, ValueError) as error:
            report.problem = str(error)
    for note in (*(writer.notes if writer else ()), *told.lines()):
        print(f"maefuse: {note}", file=sys.stderr)
    for source in (infrared, visible):
        if source.damaged:
            print(f"maefuse: {source.name}: {source.damaged} frames could not be decoded.", file=sys.stderr)
    kept = f" They are in {options.output}." if options.output and report.fused else ""
    print(f"{report.fused} frames fused, {report.rate:.1f} a second, {report.dropped} dropped.{kept}")
    if report.problem:
        print(f"maefuse: {report.problem}", file=sys.stderr)
    return int(bool(report.problem) or not report.fused)
