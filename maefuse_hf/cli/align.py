# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""`maefuse align`: where infrared lies in the photo, kept in a rig file."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..cameras import UNITS
from ..image_files import write_image
from ..inference.file_registration import read_pair, register_files
from ..inference.pairs import evenly_spread, match_pairs
from ..registration import MODELS, Registration, RegistrationRefusedError, SearchRange, overlay_image, save_rig
from .options import make_folder, refuse_overwriting, require_files_or_folders, require_image_suffix

RIG_SUFFIX = ".json"
DEFAULT_PAIRS = 12
HOMOGRAPHY_PAIRS = 6
"""Pairs that a homography should be made of; fewer often leave it several pixels off (docs/registration.md)."""

FilePair = tuple[Path, Path | None]


def add_align(commands: Any) -> None:
    """Add `maefuse align` to the subcommands."""
    usual = SearchRange()
    parser = commands.add_parser(
        "align",
        help="find where infrared lies in the photo, and keep it in a rig file",
        description="Find where infrared lies in the photo, from one pair, or from several of cameras that are fixed "
        "to each other: two folders of same-named images, or a folder of camera files. What cannot be trusted is "
        "refused, and the exit status is 1. `maefuse fuse --rig` uses the file.",
    )
    parser.add_argument("infrared", type=Path, help="image, camera file or folder")
    parser.add_argument("visible", type=Path, nargs="?", help="photo or folder; default: the photo in the camera file")
    parser.add_argument("-o", "--output", type=Path, required=True, help="rig file to write, such as rig.json")
    parser.add_argument(
        "--overlay", type=Path, metavar="IMAGE", help="write infrared in red over the photo in cyan, refused or not"
    )
    parser.add_argument(
        "--model", choices=MODELS, default=MODELS[0], help="rotation, one scale and shift; or the view of a plane"
    )
    parser.add_argument(
        "--scale",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        default=usual.scale,
        help=f"how wide infrared may be beside the photo; default: {usual.scale[0]} {usual.scale[1]}",
    )
    parser.add_argument(
        "--rotation",
        type=float,
        metavar="DEGREES",
        default=usual.rotation,
        help=f"how far infrared may be turned, to either side; default: {usual.rotation:g}",
    )
    parser.add_argument("--infrared-unit", choices=UNITS, help="unit of the pixels of an infrared image")
    parser.add_argument(
        "--pairs",
        type=int,
        default=DEFAULT_PAIRS,
        metavar="N",
        help=f"of folders, register this many pairs, evenly spaced; default: {DEFAULT_PAIRS}",
    )
    parser.set_defaults(command=run_align)


def run_align(options: argparse.Namespace) -> int:
    """`maefuse align`: one pair or a folder's; the overlay is of the first pair that the rig was made from."""
    files, problems = files_of(options.infrared, options.visible)
    if options.pairs < 1:
        raise ValueError(f"--pairs is {options.pairs}; at least one is needed.")
    files = evenly_spread(files, options.pairs)
    sources = [path for pair in files for path in pair if path]
    if options.output.suffix.lower() != RIG_SUFFIX or options.output.is_dir():
        raise ValueError(f"{options.output} is no name of a rig file; name it like rig.json.")
    outputs = [options.output]
    if options.overlay:
        require_image_suffix(options.overlay)
        outputs.append(options.overlay)
    refuse_overwriting(outputs, sources)
    for output in outputs:
        make_folder(output.parent)
    search = SearchRange(scale=tuple(options.scale), rotation=options.rotation)
    for problem in problems:
        print(f"maefuse: {problem}")
    try:
        registration = register_files(files, options.model, search, options.infrared_unit, progress=len(files) > 1)
    except RegistrationRefusedError as refused:
        if options.overlay and refused.registration:
            write_overlay(refused.registration, files, options)
        raise
    save_rig(registration.rig, options.output)
    print(described(registration, len(files)))
    print(f"Rig file {options.output}")
    if options.overlay:
        write_overlay(registration, files, options)
    return 0


def files_of(infrared: Path, visible: Path | None) -> tuple[list[FilePair], list[str]]:
    """The pairs of files that two paths, or one of camera files, name, and what is in a folder but in no pair."""
    given = [path for path in (infrared, visible) if path]
    require_files_or_folders(given)
    if not infrared.is_dir():
        return [(infrared, visible)], []
    pairs, problems = match_pairs(infrared, visible or infrared)
    if not pairs:
        raise ValueError(f"{' and '.join(map(str, given))} {'hold no pair' if visible else 'holds no images'}.")
    return [(pair.infrared, pair.visible if visible else None) for pair in pairs], problems


def write_overlay(registration: Registration, files: Sequence[FilePair], options: argparse.Namespace) -> None:
    """Write the overlay of the first pair that was used, and say where it is."""
    values, photo = read_pair(*files[registration.used[0]], options.infrared_unit)
    write_image(overlay_image(values, photo, registration.rig), options.overlay)
    print(f"Look at {options.overlay}: where one edge has a red and a cyan outline, infrared does not lie right.")


def described(registration: Registration, pairs: int) -> str:
    """What was found, in a line, and in a second one what a homography lacks that was made of few pairs."""
    rig = registration.rig
    left, top, right, bottom = rig.bounds
    made_of = f" From {rig.pairs} of {pairs} pairs." if pairs > 1 else ""
    lacks = (
        f"\nA homography of fewer than {HOMOGRAPHY_PAIRS} pairs is often off by several pixels: give more pairs."
        if rig.model == "homography" and rig.pairs < HOMOGRAPHY_PAIRS
        else ""
    )
    return (
        f"Score {rig.score:.2f}. Infrared lies at {left:.1f}, {top:.1f} to {right:.1f}, {bottom:.1f} in the photo, "
        f"{rig.model}.{made_of}{lacks}"
    )
