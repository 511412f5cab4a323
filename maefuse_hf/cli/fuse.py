# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""`maefuse fuse`: one pair of images, two folders of them, or what a thermal camera wrote."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from ..cameras import UNITS, require_tiff_suffix, write_temperature_map
from ..image_files import write_image
from ..image_processing_maefuse import MaeFuseImageProcessor, NoContentError
from ..inference.batch_fusion import Problem, fuse_batch
from ..inference.checkpoint import load_checkpoint
from ..inference.file_fusion import FusedFiles, photo_alone, require_temperatures
from ..inference.file_registration import register_files
from ..inference.pair_fusion import Turn
from ..inference.pairs import PairPaths, match_pairs
from ..modeling_maefuse import MaeFuseModel
from ..registration import Rig, load_rig
from ..visualization.thermal_palette import PALETTES
from .options import (
    DTYPES,
    file_identities,
    make_folder,
    model_options,
    refuse_overwriting,
    require_files_or_folders,
    require_image_suffix,
    strategy_options,
)
from .turns import Turns, in_threads

FOLDER_SUFFIX = ".png"
WORKERS = 2
# Options that `fuse_files` takes by the same name.
SETTINGS = (
    "infrared_box",
    "rig",
    "infrared_unit",
    "temperature_range",
    "palette",
    "fusion",
    "contour",
    "resize_infrared",
    "infrared_range",
)


def add_fuse(commands: Any) -> None:
    """Add `maefuse fuse` to the subcommands."""
    parser = commands.add_parser(
        "fuse",
        parents=[model_options(), strategy_options()],
        help="fuse two images, two folders of same-named images, or what a thermal camera wrote",
        description="Fuse two registered images, or two folders of same-named ones, at the visible image's size. A "
        "thermal camera's radiometric JPEG with a photo in it is a pair alone.",
    )
    parser.add_argument("infrared", type=Path, help="image, camera file or folder; 8 or 16 bit, hot things bright")
    parser.add_argument(
        "visible", type=Path, nargs="?", help="image or folder; colour or grey; default: the photo in the camera file"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="image to write, or folder for folders")
    places = parser.add_mutually_exclusive_group()
    places.add_argument("--resize-infrared", action="store_true", help="resize infrared to the visible image's size")
    places.add_argument(
        "--infrared-box",
        type=float,
        nargs=4,
        metavar=("LEFT", "TOP", "RIGHT", "BOTTOM"),
        help="where infrared lies, in pixels of the photo, which stays as it is elsewhere; default: as the camera says",
    )
    places.add_argument(
        "--rig", type=Path, metavar="JSON", help="where infrared lies, as `maefuse align` wrote it for this camera"
    )
    places.add_argument(
        "--align",
        action="store_true",
        help="find where infrared lies in the photo of one pair, as `maefuse align` does",
    )
    parser.add_argument("--infrared-unit", choices=UNITS, help="unit of the pixels of an infrared image")
    ranges = parser.add_mutually_exclusive_group()
    ranges.add_argument(
        "--infrared-range",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="raw values that become black and white; default: percentiles of each image deeper than 8 bits",
    )
    ranges.add_argument(
        "--temperature-range", type=float, nargs=2, metavar=("LOW", "HIGH"), help="°C that become black and white"
    )
    parser.add_argument(
        "--temperature-map", type=Path, metavar="TIFF", help="write infrared's temperatures too, float32 in °C"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="of folders, fuse again what is in the output folder already"
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=WORKERS,
        help=f"of folders, pairs that are worked on at once: while one is fused, others are read and written; each "
        f"takes memory; default: {WORKERS}",
    )
    parser.add_argument(
        "--batch-size",
        type=int,
        default=1,
        help="of folders, pairs that are read together, and of which those of one size are fused in one call of the "
        "model; for GPUs; each takes memory; default: 1",
    )
    parser.add_argument("--palette", choices=PALETTES, help="colour what is hot by this thermal palette")
    parser.set_defaults(command=run_fuse)


def run_fuse(options: argparse.Namespace) -> int:
    """`maefuse fuse`: one pair, or all pairs of folders; what fails is reported and the rest is done."""
    for name, value in (("--workers", options.workers), ("--batch-size", options.batch_size)):
        if value < 1:
            raise ValueError(f"{name} is {value}. Give 1 or more.")
    given = [path for path in (options.infrared, options.visible) if path]
    require_files_or_folders(given)
    # a camera's file is both images
    visible = given[-1]
    in_folders = visible.is_dir()
    if not in_folders:
        outputs = {PairPaths(visible.stem, options.infrared, visible): options.output}
        failures: list[str] = []
        require_image_suffix(options.output)
    else:
        refuse_overwriting([options.output], given)
        pairs, failures = match_pairs(options.infrared, visible)
        if not pairs and not failures:
            raise ValueError(f"{' and '.join(map(str, given))} {'hold' if options.visible else 'holds'} no images.")
        outputs = {pair: options.output / f"{pair.name}{FOLDER_SUFFIX}" for pair in pairs}
    sources = [path for pair in outputs for path in (pair.infrared, pair.visible)]
    refuse_overwriting(outputs.values(), sources)
    if options.temperature_map:
        require_map_of_its_own(options.temperature_map, options.output, sources, in_folders)

    options.rig = rig_of(options, in_folders)
    there = {pair for pair, output in outputs.items() if in_folders and not options.overwrite and is_written(output)}
    left = {pair: output for pair, output in outputs.items() if pair not in there}
    outcomes: list[Outcome] = []
    if left:
        make_folder(options.output if in_folders else options.output.parent)
        model, processor = load_checkpoint(options.model, options.device, DTYPES[options.dtype])
        turns = Turns()

        def fuse_some(batch: Sequence[PairPaths]) -> list[Outcome]:
            return fuse_to_files(model, processor, {pair: left[pair] for pair in batch}, options, in_folders, turns)

        waiting = list(left)
        batches = [waiting[begin : begin + options.batch_size] for begin in range(0, len(waiting), options.batch_size)]
        with (
            closing(in_threads(fuse_some, batches, options.workers, turns)) as results,
            tqdm(total=len(left), unit="pair", disable=len(outputs) == 1) as progress,
        ):
            for some in results:
                outcomes += some
                progress.update(len(some))
    notes = [outcome.note for outcome in outcomes if outcome.note]
    failures += [outcome.failure for outcome in outcomes if outcome.failure]
    count = sum(not outcome.failure for outcome in outcomes)
    for message in (*notes, *failures):
        print(f"maefuse: {message}", file=sys.stderr)
    if in_folders:
        print(summary(count, len(there), len(failures), len(notes), options.output))
    return 1 if failures else 0


def rig_of(options: argparse.Namespace, in_folders: bool) -> Rig | None:
    """Where infrared lies: from the rig file, or found in the one pair; None where neither is asked for."""
    if not options.align:
        return load_rig(options.rig) if options.rig else None
    if in_folders:
        raise ValueError(
            "--align finds where infrared lies in one pair. For folders make a rig file of them first: maefuse align "
            "INFRARED_FOLDER VISIBLE_FOLDER -o rig.json, then maefuse fuse with --rig rig.json."
        )
    rig = register_files([(options.infrared, options.visible)], infrared_unit=options.infrared_unit).rig
    print(f"Infrared was found in the photo, score {rig.score:.2f}.")
    return rig


class Outcome(NamedTuple):
    """What came of one pair: a sentence where something is to be said, and where it could not be written."""

    note: str = ""
    failure: str = ""


def fuse_to_files(
    model: MaeFuseModel,
    processor: MaeFuseImageProcessor,
    outputs: Mapping[PairPaths, Path],
    options: argparse.Namespace,
    in_folders: bool,
    turn: Turn,
) -> list[Outcome]:
    """Read a batch of pairs, fuse it in its turn and write the images; what is wrong with a pair is told."""
    settings = {name: getattr(options, name) for name in SETTINGS}
    files = [(pair.infrared, pair.visible) if options.visible else (pair.infrared,) for pair in outputs]
    results = fuse_batch(model, processor, files, turn=turn, progress=not in_folders, **settings)
    return [
        written(processor, pair, each, output, result, options.temperature_map, in_folders)
        for (pair, output), each, result in zip(outputs.items(), files, results, strict=True)
    ]


def written(
    processor: MaeFuseImageProcessor,
    pair: PairPaths,
    files: Sequence[Path],
    output: Path,
    result: FusedFiles | Problem,
    temperature_map: Path | None,
    in_folders: bool,
) -> Outcome:
    """Write what became of a pair, and say what is wrong with it."""
    note = ""
    try:
        # in a video the shutter closes now and then, and a frame that is left out would shift all others
        if in_folders and isinstance(result, NoContentError) and result.name.startswith("infrared"):
            image = photo_alone(processor, *files)
            note = f"{pair.name}: {result} The visible image was written as it is."
        elif isinstance(result, FusedFiles):
            image = result.image
            if temperature_map:
                write_temperature_map(temperature_map, require_temperatures(result.thermal, pair.infrared))
        else:
            raise result
        write_image(image, output)
    except (OSError, ValueError) as error:
        return Outcome(failure=f"{pair.name}: {error}")
    return Outcome(note)


def require_map_of_its_own(temperature_map: Path, output: Path, sources: list[Path], in_folders: bool) -> None:
    """Raise a `ValueError` unless the temperature map is a TIFF of one pair that overwrites no other image.

    Its folder is made; an `OSError` says why it cannot be.
    """
    if in_folders:
        raise ValueError("--temperature-map names one file; give it with one pair, not with folders.")
    require_tiff_suffix(temperature_map)
    refuse_overwriting([temperature_map], sources)
    if file_identities(temperature_map) & file_identities(output):
        raise ValueError(f"{temperature_map} is named by -o too; the fused image and its temperatures are two files.")
    make_folder(temperature_map.parent)


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
