# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""`maefuse fuse`: one pair of images, or two folders of them."""

import argparse
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..inference.checkpoint import load_checkpoint
from ..inference.pair_fusion import fuse_pair
from ..inference.pairs import PairPaths, match_pairs
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
    parser.add_argument("--palette", choices=PALETTES, help="colour what is hot by this thermal palette")
    parser.set_defaults(command=fuse_files)


def fuse_files(options: argparse.Namespace) -> int:
    """`maefuse fuse`: one pair, or all pairs of two folders; what fails is reported and the rest is done."""
    if options.infrared.is_dir() != options.visible.is_dir():
        raise ValueError(
            f"{options.infrared} and {options.visible} are a folder and a file; give two images or two folders."
        )
    if not options.infrared.is_dir():
        outputs = {PairPaths(options.visible.stem, options.infrared, options.visible): options.output}
        failures: list[str] = []
        require_image_suffix(options.output)
        make_folder(options.output.parent)
    else:
        pairs, failures = match_pairs(options.infrared, options.visible)
        if not pairs and not failures:
            raise ValueError(f"{options.infrared} and {options.visible} hold no images.")
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
            image = fused.image
            if options.palette:
                image = thermal_overlay(image, seen_infrared(fused.inputs), options.palette)
            image.save(output)
        except (OSError, ValueError) as error:
            failures.append(f"{pair.name}: {error}")
    for failure in failures:
        print(f"maefuse: {failure}", file=sys.stderr)
    if len(outputs) + len(failures) > 1:
        print(f"{len(outputs)} pairs, {len(failures)} problems, fused images in {options.output}")
    return 1 if failures else 0
