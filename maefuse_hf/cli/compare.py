# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""`maefuse compare`: images side by side, with an enlarged patch."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..evaluation.runner import (
    read_source,
    require_size,
)
from ..image_files import write_image
from ..visualization.captioned_row import side_by_side
from ..visualization.zoom import CHOICE_OF_PATCH, differing_patch, patch_at, with_patch
from .options import (
    make_folder,
    refuse_overwriting,
    require_image_suffix,
)


def add_compare(commands: Any) -> None:
    """Add `maefuse compare` to the subcommands."""
    parser = commands.add_parser(
        "compare",
        help="put images side by side, with an enlarged patch",
        description="Put images of one size side by side under their names, and below each the same patch enlarged.",
    )
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="at least two, of one size")
    parser.add_argument(
        "--zoom",
        type=corner_and_width,
        metavar="X,Y,SIZE",
        help="left, top and width of the patch in pixels; its proportions are the images'. Without this, "
        + CHOICE_OF_PATCH,
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="image to write")
    parser.set_defaults(command=compare_images)


def compare_images(options: argparse.Namespace) -> int:
    """`maefuse compare`: nothing is measured."""
    if len(options.images) < 2:
        raise ValueError("One image cannot be compared; give at least two.")
    require_image_suffix(options.output)
    refuse_overwriting([options.output], options.images)
    names = short_names(options.images)
    images = {name: read_source(path, "image") for name, path in zip(names, options.images)}
    for name, image in images.items():
        require_size(image, name, images[names[0]].size, names[0])
    size = images[names[0]].size
    patch = patch_at(options.zoom, size) if options.zoom else differing_patch(list(images.values()))
    make_folder(options.output.parent)
    write_image(side_by_side(with_patch(images, patch)), options.output)
    print(f"Patch at {patch.left},{patch.top}, {patch.width}×{patch.height} px. Look at {options.output}")
    return 0


def short_names(paths: Sequence[Path]) -> list[str]:
    """The files' names without suffix, with as many folders before them as tell them apart."""
    for length in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.with_suffix("").parts[-length:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    raise ValueError("An image stands twice in the list, or with two suffixes; give images of different names.")


def corner_and_width(text: str) -> tuple[int, int, int]:
    """`X,Y,SIZE` as three integers."""
    try:
        left, top, width = map(int, text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not X,Y,SIZE, three whole numbers") from error
    return left, top, width
