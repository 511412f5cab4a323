# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""`maefuse fuse`: one pair of images, or two folders of them."""

import argparse
import sys
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from ..evaluation.runner import read_source
from ..image_files import write_image
from ..image_processing_maefuse import MaeFuseImageProcessor, NoContentError
from ..inference.checkpoint import load_checkpoint
from ..inference.pair_fusion import fuse_pair
from ..inference.pairs import PairPaths, match_pairs
from ..modeling_maefuse import MaeFuseModel
from ..visualization.thermal_palette import PALETTES, seen_infrared, thermal_overlay
from .options import (
    DTYPES,
    make_folder,
    model_options,
    refuse_overwriting,
    require_image_suffix,
    strategy_options,
)

FOLDER_SUFFIX = ".png"


def add_fuse(commands: Any) -> None:
    """Add `maefuse fuse` to the subcommands."""
    parser = commands.add_parser(
        "fuse",
        parents=[model_options(), strategy_options()],
        help="fuse two images, or two folders of same-named images",
        description="Fuse two registered images, or two folders of same-named ones, at the visible image's size.",
    )
    parser.add_argument("infrared", type=Path, help="image or folder; 8 or 16 bit, hot things bright")
    parser.add_argument("visible", type=Path, help="image or folder; colour or grey")
    parser.add_argument("-o", "--output", type=Path, required=True, help="image to write, or folder for two folders")
    parser.add_argument("--resize-infrared", action="store_true", help="resize infrared to the visible image's size")
    parser.add_argument(
        "--infrared-range",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="raw values that become black and white; default: percentiles of each image deeper than 8 bits",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="of two folders, fuse again what is in the output folder already"
    )
    parser.add_argument("--palette", choices=PALETTES, help="colour what is hot by this thermal palette")
    parser.set_defaults(command=fuse_files)


def fuse_files(options: argparse.Namespace) -> int:
    """`maefuse fuse`: one pair, or all pairs of two folders; what fails is reported and the rest is done."""
    for path in (options.infrared, options.visible):
        if not path.exists():
            raise FileNotFoundError(f"{path}: there is no such file or folder. Check the path.")
    if options.infrared.is_dir() != options.visible.is_dir():
        raise ValueError(
            f"{options.infrared} and {options.visible} are a folder and a file; give two images or two folders."
        )
    in_folders = options.infrared.is_dir()
    if not in_folders:
        outputs = {PairPaths(options.visible.stem, options.infrared, options.visible): options.output}
        failures: list[str] = []
        require_image_suffix(options.output)
    else:
        refuse_overwriting([options.output], [options.infrared, options.visible])
        pairs, failures = match_pairs(options.infrared, options.visible)
        if not pairs and not failures:
            raise ValueError(f"{options.infrared} and {options.visible} hold no images.")
        outputs = {pair: options.output / f"{pair.name}{FOLDER_SUFFIX}" for pair in pairs}
    refuse_overwriting(outputs.values(), (path for pair in outputs for path in (pair.infrared, pair.visible)))

    there = {pair for pair, output in outputs.items() if in_folders and not options.overwrite and is_written(output)}
    left = {pair: output for pair, output in outputs.items() if pair not in there}
    notes = []
    if left:
        make_folder(options.output if in_folders else options.output.parent)
        model, processor = load_checkpoint(options.model, options.device, DTYPES[options.dtype])
    written = 0
    for pair, output in tqdm(left.items(), unit="pair", disable=len(outputs) == 1):
        try:
            try:
                image = fused_image(model, processor, pair, options)
            except NoContentError as error:
                # in a video the shutter closes now and then, and a frame that is left out would shift all others
                if not in_folders or not error.name.startswith("infrared"):
                    raise
                image = read_source(pair.visible, "visible")
                notes.append(f"{pair.name}: {error} The visible image was written as it is.")
            write_image(image, output)
            written += 1
        except (OSError, ValueError) as error:
            failures.append(f"{pair.name}: {error}")
    for message in (*notes, *failures):
        print(f"maefuse: {message}", file=sys.stderr)
    if in_folders:
        print(summary(written, len(there), len(failures), len(notes), options.output))
    return 1 if failures else 0


def fused_image(
    model: MaeFuseModel, processor: MaeFuseImageProcessor, pair: PairPaths, options: argparse.Namespace
) -> Image.Image:
    """The fused image of a pair, under its thermal palette if one is asked for."""
    overrides = {"resize_infrared": options.resize_infrared, "infrared_range": options.infrared_range}
    fused = fuse_pair(model, processor, pair.infrared, pair.visible, options.fusion, options.contour, **overrides)
    if not options.palette:
        return fused.image
    return thermal_overlay(fused.image, seen_infrared(fused.inputs), options.palette)


def is_written(output: Path) -> bool:
    """Whether an image is there already; a file without content is none."""
    return output.is_file() and output.stat().st_size > 0


def summary(written: int, there: int, problems: int, without_infrared: int, folder: Path) -> str:
    """What came of a folder run, in a line."""
    parts = [f"{written} images written to {folder}" if written else "Nothing was written", f"{problems} problems"]
    if without_infrared:
        parts.insert(1, f"{without_infrared} of them the visible image alone")
    if there:
        parts.append(f"{there} were there already (--overwrite makes them again)")
    return f"{', '.join(parts)}."
