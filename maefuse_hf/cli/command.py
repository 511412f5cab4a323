# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""The `maefuse` command."""

import argparse
import sys
from collections.abc import Sequence

from transformers.utils import logging

from .align import add_align
from .compare import add_compare
from .convert import add_convert
from .demo import add_demo
from .evaluate import add_evaluate
from .export import add_export
from .fuse import add_fuse
from .live import add_live
from .options import STOPPED
from .video import add_video


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 1 if something could not be fused or measured, or `STOPPED`."""
    options = build_parser().parse_args(arguments)
    logging.disable_progress_bar()
    try:
        return options.command(options)
    except (OSError, ValueError) as error:
        print(f"maefuse: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("maefuse: stopped. Every file that was written before is whole.", file=sys.stderr)
        return STOPPED


def build_parser() -> argparse.ArgumentParser:
    """The parser of `maefuse` and its subcommands."""
    parser = argparse.ArgumentParser(prog="maefuse", description="Fuse infrared and visible images of a scene.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    for add in (
        add_fuse,
        add_demo,
        add_evaluate,
        add_compare,
        add_convert,
        add_export,
        add_align,
        add_video,
        add_live,
    ):
        add(commands)
    return parser


def entry_point() -> None:
    """What the installed command calls."""
    sys.exit(main())
