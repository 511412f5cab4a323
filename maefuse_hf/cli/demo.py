# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""`maefuse demo`: an example for people without a thermal camera."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..example_scene.scene import render_example_pair
from ..image_files import write_image
from ..inference.checkpoint import load_checkpoint
from ..inference.file_fusion import fuse_files
from ..inference.file_registration import luminance
from ..inference.pair_fusion import fuse_pair
from ..registration import MODELS, Rig, overlay_image, register, warp_infrared
from ..registration.geometry import shift, similarity
from ..visualization.captioned_row import side_by_side
from .options import (
    DTYPES,
    make_folder,
    model_options,
)

OTHER_VIEW = 3, 0.8, 12, -8
"""The turn in degrees, scale and shift in pixels at which infrared lies in the photo under `--align`."""


def add_demo(commands: Any) -> None:
    """Add `maefuse demo` to the subcommands."""
    parser = commands.add_parser(
        "demo",
        parents=[model_options()],
        help="render an example pair, fuse it, and show all three side by side",
        description="Render an example pair, fuse it, and write all three and a side-by-side image to a folder.",
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("maefuse-demo"), help="folder to write to")
    parser.add_argument(
        "--align",
        action="store_true",
        help="let infrared's camera see otherwise than the photo's, find where infrared lies, and show it too",
    )
    parser.set_defaults(command=write_demo)


def write_demo(options: argparse.Namespace) -> int:
    """`maefuse demo`: an example for people without a thermal camera."""
    make_folder(options.output)
    model, processor = load_checkpoint(options.model, options.device, DTYPES[options.dtype])
    infrared, visible = render_example_pair()
    images = {"infrared": infrared, "visible": visible}
    if options.align:
        images["infrared"] = seen_by_another_camera(infrared)
        rig = register(np.asarray(images["infrared"]), luminance(visible)).rig
        print(f"Infrared was found in the photo, score {rig.score:.2f}.")
        images["overlay"] = overlay_image(np.asarray(images["infrared"]), visible, rig)
    for name, image in images.items():
        write_image(image, options.output / f"{name}.png")
    if options.align:
        paths = (options.output / f"{name}.png" for name in ("infrared", "visible"))
        images["fused"] = fuse_files(model, processor, *paths, rig=rig).image
    else:
        images["fused"] = fuse_pair(model, processor, infrared, visible).image
    write_image(images["fused"], options.output / "fused.png")
    together = options.output / "side_by_side.png"
    write_image(side_by_side(images), together)
    print(f"Look at {together}")
    return 0


def seen_by_another_camera(infrared: Image.Image) -> Image.Image:
    """The part of the view that a camera would see that is turned, nearer, and beside the photo's."""
    degrees, scale, across, down = OTHER_VIEW
    middle = np.array(infrared.size) / 2
    view = shift(across, down) @ shift(*middle) @ similarity(scale, np.radians(degrees)) @ shift(*-middle)
    rig = Rig(infrared.size, infrared.size, np.linalg.inv(view), MODELS[0], 1.0, 1)
    return Image.fromarray(np.rint(warp_infrared(np.asarray(infrared), rig)).astype(np.uint8))
