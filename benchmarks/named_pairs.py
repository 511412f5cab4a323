"""The pairs of a folder that a file names."""

from pathlib import Path

from maefuse_hf.inference import PairPaths, find_pairs


def named_pairs(folder: Path, names: Path | None) -> list[PairPaths]:
    """Pairs of a folder in the order of their names; files that make no pair are left out with a sentence each.

    Args:
        folder: as `maefuse evaluate` takes it.
        names: file with the name of a pair a line; names that the folder does not have are passed over, since one list
            serves several folders. Without it all pairs.

    Raises:
        ValueError: if the folder has none of them, or none at all.
    """
    found, problems = find_pairs(folder)
    for problem in problems:
        print(problem)
    wanted = None if names is None else set(names.read_text(encoding="utf-8").split())
    pairs = [pair for pair in found if wanted is None or pair.name in wanted]
    if not pairs and names is None:
        raise ValueError(f"{folder} has no pairs; give a folder of pairs.")
    if not pairs:
        raise ValueError(f"{folder} has none of the pairs that {names} names; give a list of its names, or none.")
    return pairs
