# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Which files of two folders show the same scene: those with the same name, whatever their suffix."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image


@dataclass(frozen=True)
class PairPaths:
    """The two picture files of one scene."""

    name: str
    infrared: Path
    visible: Path


def match_pairs(infrared_folder: Path, visible_folder: Path) -> tuple[list[PairPaths], list[str]]:
    """Pair the pictures of two folders by file name without suffix.

    Returns:
        the pairs sorted by name, and a sentence for each picture that is in no pair.

    Raises:
        OSError: if a folder does not exist or cannot be read.
    """
    infrared, visible = pictures_by_name(infrared_folder), pictures_by_name(visible_folder)
    problems = []
    for here, there, other in ((infrared, visible, visible_folder), (visible, infrared, infrared_folder)):
        for name, paths in here.items():
            if name not in there:
                problems.append(f"{paths[0]} has no partner {name}.* in {other}")
            if len(paths) > 1:
                problems.append(f"{name} is not one picture: {', '.join(map(str, paths))}")
    pairs = [
        PairPaths(name, infrared[name][0], visible[name][0])
        for name in sorted(infrared.keys() & visible.keys())
        if len(infrared[name]) == len(visible[name]) == 1
    ]
    return pairs, sorted(problems)


def pictures_by_name(folder: Path) -> dict[str, list[Path]]:
    """The files of a folder that Pillow has a reader for, by name without suffix."""
    suffixes = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix.lower() in suffixes:
            found.setdefault(path.stem, []).append(path)
    return found
