# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""`maefuse demo`: an example for people without a thermal camera."""

import argparse
from pathlib import Path
from typing import Any

from ..example_scene.scene import render_example_pair
from ..image_files import write_image
from ..inference.checkpoint import load_checkpoint
from ..inference.pair_fusion import fuse_pair
from ..visualization.captioned_row import side_by_side
from .options import (
    DTYPES,
    make_folder,
    model_options,
)


def add_demo(commands: Any) -> None:
    """Add `maefuse demo` to the subcommands."""
    parser = commands.add_parser(
        "demo",
        parents=[model_options()],
        help="render an example pair, fuse it, and show all three side by side",
        description="Render an example pair, fuse it, and write all three and a side-by-side image to a folder.",
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("maefuse-demo"), help="folder to write to")
    parser.set_defaults(command=write_demo)


def write_demo(options: argparse.Namespace) -> int:
    """`maefuse demo`: an example for people without a thermal camera."""
    make_folder(options.output)
    model, processor = load_checkpoint(options.model, options.device, DTYPES[options.dtype])
    infrared, visible = render_example_pair()
    fused = fuse_pair(model, processor, infrared, visible).image
    images = {"infrared": infrared, "visible": visible, "fused": fused}
    for name, image in images.items():
        write_image(image, options.output / f"{name}.png")
    together = options.output / "side_by_side.png"
    write_image(side_by_side(images), together)
    print(f"Look at {together}")
    return 0
