# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""The `maefuse` command."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm
from transformers.utils import logging

from .checkpoint import load_checkpoint
from .cli_convert import add_convert
from .cli_evaluate import add_compare, add_evaluate
from .cli_options import (
    DTYPES,
    make_folder,
    model_options,
    refuse_overwriting,
    require_picture_suffix,
    strategy_options,
)
from .example_scene import render_example_pair
from .pair_fusion import fuse_pair
from .pairs import PairPaths, match_pairs
from .side_by_side import side_by_side
from .thermal_palette import PALETTES, seen_infrared, thermal_overlay

FOLDER_SUFFIX = ".png"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 1 if something could not be fused or measured."""
    options = build_parser().parse_args(arguments)
    logging.disable_progress_bar()
    try:
        return options.command(options)
    except (OSError, ValueError) as error:
        print(f"maefuse: {error}", file=sys.stderr)
        return 1


def build_parser() -> argparse.ArgumentParser:
    """The parser of `maefuse` and its subcommands."""
    parser = argparse.ArgumentParser(prog="maefuse", description="Fuse infrared and visible pictures of a scene.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    model = model_options()
    fuse = commands.add_parser(
        "fuse",
        parents=[model, strategy_options()],
        help="fuse two pictures, or two folders of same-named pictures",
        description="Fuse two registered pictures, or two folders of same-named ones, at the visible picture's size.",
    )
    fuse.add_argument("infrared", type=Path, help="picture or folder; 8 or 16 bit, hot things bright")
    fuse.add_argument("visible", type=Path, help="picture or folder; colour or grey")
    fuse.add_argument("-o", "--output", type=Path, required=True, help="picture to write, or folder for two folders")
    fuse.add_argument("--resize-infrared", action="store_true", help="resize infrared to the visible picture's size")
    fuse.add_argument(
        "--infrared-range",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="raw values that become black and white; default: percentiles of each picture deeper than 8 bits",
    )
    fuse.add_argument("--palette", choices=PALETTES, help="colour what is hot by this thermal palette")
    fuse.set_defaults(command=fuse_files)

    demo = commands.add_parser(
        "demo",
        parents=[model],
        help="render an example pair, fuse it, and show all three side by side",
        description="Render an example pair, fuse it, and write all three and a side-by-side picture to a folder.",
    )
    demo.add_argument("-o", "--output", type=Path, default=Path("maefuse-demo"), help="folder to write to")
    demo.set_defaults(command=write_demo)

    add_evaluate(commands)
    add_compare(commands)
    add_convert(commands)
    return parser


def fuse_files(options: argparse.Namespace) -> int:
    """`maefuse fuse`: one pair, or all pairs of two folders; what fails is reported and the rest is done."""
    if options.infrared.is_dir() != options.visible.is_dir():
        raise ValueError(
            f"{options.infrared} and {options.visible} are a folder and a file; give two pictures or two folders."
        )
    if not options.infrared.is_dir():
        outputs = {PairPaths(options.visible.stem, options.infrared, options.visible): options.output}
        failures: list[str] = []
        require_picture_suffix(options.output)
        make_folder(options.output.parent)
    else:
        pairs, failures = match_pairs(options.infrared, options.visible)
        if not pairs and not failures:
            raise ValueError(f"{options.infrared} and {options.visible} hold no pictures.")
        outputs = {pair: options.output / f"{pair.name}{FOLDER_SUFFIX}" for pair in pairs}
        make_folder(options.output)
    refuse_overwriting(outputs.values(), (path for pair in outputs for path in (pair.infrared, pair.visible)))

    overrides = {"resize_infrared": options.resize_infrared, "infrared_range": options.infrared_range}
    model, processor = load_checkpoint(options.model, options.device, DTYPES[options.dtype])
    for pair, output in tqdm(outputs.items(), unit="pair", disable=len(outputs) == 1):
        try:
            fused = fuse_pair(
                model, processor, pair.infrared, pair.visible, options.fusion, options.contour, **overrides
            )
            picture = fused.picture
            if options.palette:
                picture = thermal_overlay(picture, seen_infrared(fused.inputs), options.palette)
            picture.save(output)
        except (OSError, ValueError) as error:
            failures.append(f"{pair.name}: {error}")
    for failure in failures:
        print(f"maefuse: {failure}", file=sys.stderr)
    if len(outputs) + len(failures) > 1:
        print(f"{len(outputs)} pairs, {len(failures)} problems, fused pictures in {options.output}")
    return 1 if failures else 0


def write_demo(options: argparse.Namespace) -> int:
    """`maefuse demo`: an example for people without a thermal camera."""
    make_folder(options.output)
    model, processor = load_checkpoint(options.model, options.device, DTYPES[options.dtype])
    infrared, visible = render_example_pair()
    fused = fuse_pair(model, processor, infrared, visible).picture
    pictures = {"infrared": infrared, "visible": visible, "fused": fused}
    for name, picture in pictures.items():
        picture.save(options.output / f"{name}.png")
    together = options.output / "side_by_side.png"
    side_by_side(pictures).save(together)
    print(f"Look at {together}")
    return 0


def entry_point() -> None:
    """What the installed command calls."""
    sys.exit(main())


if __name__ == "__main__":
    entry_point()
