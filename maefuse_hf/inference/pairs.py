# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Which image files show the same scene: by name in two folders, or as `metadata.jsonl` says."""

import json
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from ..image_files import FORMATS_TEXT, image_suffixes


@dataclass(frozen=True)
class PairPaths:
    """The two image files of one scene."""

    name: str
    infrared: Path
    visible: Path


Item = TypeVar("Item")

METADATA = "metadata.jsonl"
"""The file by which a folder in the `imagefolder` layout of datasets says which of its files make a pair."""

METADATA_COLUMNS = ("infrared_file_name", "visible_file_name")

APPLE_DOUBLE = "._"
"""How the names of the files begin in which macOS keeps what foreign disks cannot hold."""


def find_pairs(folder: Path) -> tuple[list[PairPaths], list[str]]:
    """List the pairs of a folder.

    Args:
        folder: holds `metadata.jsonl` with `infrared_file_name` and `visible_file_name` a line, relative to the folder,
            or two folders `infrared/` and `visible/` of images with the same stem.

    Returns:
        the pairs sorted by name, which is the infrared file's without suffix, and a sentence for each line or image
        that makes no pair.

    Raises:
        ValueError: if the folder is in neither layout.
        OSError: if the folder cannot be read.
    """
    if (folder / METADATA).is_file():
        return listed_pairs(folder)
    halves = folder / "infrared", folder / "visible"
    if not all(half.is_dir() for half in halves):
        what = "holds neither" if folder.is_dir() else "is no folder, so it holds neither"
        raise ValueError(f"{folder} {what} {METADATA} nor the two folders infrared/ and visible/.")
    return match_pairs(*halves)


def listed_pairs(folder: Path) -> tuple[list[PairPaths], list[str]]:
    """The pairs that the lines of `metadata.jsonl` name, as `find_pairs` returns them."""
    pairs, problems = [], []
    for number, line in enumerate((folder / METADATA).read_text().splitlines(), start=1):
        if not line.strip():
            continue
        where = f"line {number} of {folder / METADATA}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            problems.append(f"{where} is no JSON ({error})")
            continue
        columns = row if isinstance(row, dict) else {}
        names = [columns[column] for column in METADATA_COLUMNS if isinstance(columns.get(column), str)]
        if len(names) < len(METADATA_COLUMNS):
            problems.append(f"{where} lacks {' or '.join(METADATA_COLUMNS)}")
            continue
        infrared, visible = (folder / name for name in names)
        missing = [path for path in (infrared, visible) if not path.is_file()]
        problems += [f"{path} does not exist ({where})" for path in missing]
        if not missing:
            pairs.append(PairPaths(infrared.stem, infrared, visible))
    return sorted(pairs, key=lambda pair: pair.name), problems


def match_pairs(infrared_folder: Path, visible_folder: Path) -> tuple[list[PairPaths], list[str]]:
    """Pair the images of two folders by file name without suffix.

    Returns:
        the pairs sorted by name, and a sentence for each image that is in no pair. Of one folder given twice each image
        is a pair with itself.

    Raises:
        OSError: if a folder does not exist or cannot be read.
    """
    infrared, visible = images_by_name(infrared_folder), images_by_name(visible_folder)
    problems = [
        f"{path} is of a format that is not read. Give {FORMATS_TEXT}."
        for folder in (infrared_folder, visible_folder)
        for path in unread_images(folder)
    ]
    for here, there, other in ((infrared, visible, visible_folder), (visible, infrared, infrared_folder)):
        for name, paths in here.items():
            if name not in there:
                problems.append(f"{paths[0]} has no partner {name}.* in {other}")
            if len(paths) > 1:
                problems.append(f"{name} is not one image: {', '.join(map(str, paths))}")
    pairs = [
        PairPaths(name, infrared[name][0], visible[name][0])
        for name in sorted(infrared.keys() & visible.keys())
        if len(infrared[name]) == len(visible[name]) == 1
    ]
    return pairs, sorted(set(problems))


def images_by_name(folder: Path) -> dict[str, list[Path]]:
    """The files of a folder with a suffix of the formats that are read, by name without suffix."""
    found: dict[str, list[Path]] = {}
    for path in files_with(image_suffixes(), folder):
        found.setdefault(path.stem, []).append(path)
    return found


def unread_images(folder: Path) -> list[Path]:
    """The files of a folder that by their suffix are images of formats that are not read."""
    return files_with(Image.registered_extensions().keys() - image_suffixes(), folder)


def files_with(suffixes: Set[str], folder: Path) -> list[Path]:
    """The files of a folder with one of these suffixes, in order, without those that macOS puts beside them."""
    return [
        path
        for path in sorted(folder.iterdir())
        if path.is_file() and path.suffix.lower() in suffixes and not path.name.startswith(APPLE_DOUBLE)
    ]


def evenly_spread(items: Sequence[Item], count: int) -> list[Item]:
    """So many items, as far from each other as they can be; all of them if there are no more."""
    if not items:
        return []
    places = np.linspace(0, len(items) - 1, count)
    return [items[number] for number in sorted({round(place) for place in places})]
