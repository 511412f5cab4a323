# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""How well `maefuse align` finds a known warp from several pairs of one camera.

python -m benchmarks.rigs MSRS=pairs/MSRS -o OUT [--reference NAME=RIG] [--lens NAME=FIELD] [--write-docs PAGE]

Each folder holds pairs of one camera and of one size. A rig is a warp, drawn as in `benchmarks.registration`, and some
of the pairs, no pair twice; all of them show the warp. A smaller rig is of the first pairs of a larger one, so that
only the number of pairs differs. The error is the mean distance of infrared's four corners from where they belong.

A run that was stopped goes on where it was with the same command. The table goes to OUT and, with --write-docs, into a
page between its marks.
"""

import argparse
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.lens_field import grey, load_field
from benchmarks.marked_block import replace_block
from benchmarks.registration import LIMITS, NEAR, add_data, cut, random_warp, reference_of, saved_cases
from maefuse_hf.evaluation.table import as_markdown, as_text, table_of
from maefuse_hf.inference import find_pairs
from maefuse_hf.registration import MODELS, RegistrationRefusedError, Rig, load_rig, register_pairs
from maefuse_hf.registration.geometry import corner_distance, shift

RIGS = {1: 12, 3: 12, 6: 12, 12: 6}
"""Numbers of pairs in a rig, and how many such rigs are made for each kind of warp."""

Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Drawn:
    """A warp in pixels, (3, 3), of its kind, and the places in a list of the pairs that show it."""

    model: str
    places: list[int]
    warp: np.ndarray


@dataclass(frozen=True)
class Case:
    """What came of one rig.

    `error` is None where the rig was refused. `beside_own` is for a single pair: the error where the warp is counted
    from the pair's own unwarped registration; None where one of the two was refused.
    """

    data: str
    model: str
    pairs: list[str]
    error: float | None
    beside_own: float | None


def drawn_rigs(rng: np.random.Generator, pairs: int, size: tuple[int, int], number: int, largest: int) -> list[Drawn]:
    """So many rigs of each kind of warp, by turns, of the largest number of pairs.

    Args:
        pairs: how many there are to draw from.
        size: (width, height) of their photos.
    """
    if pairs < largest:
        raise ValueError(f"There are {pairs} pairs; a rig of {largest} needs as many.")
    return [
        Drawn(model, rng.permutation(pairs)[:largest].tolist(), random_warp(rng, size, model))
        for _ in range(number)
        for model in MODELS
    ]


def errors_of(pairs: Sequence[Pair], drawn: Drawn, reference: np.ndarray) -> tuple[float | None, float | None]:
    """The error of a rig of unwarped pairs, (H, W) each, and for a single pair that beside its own place, in pixels.

    Args:
        reference: where unwarped infrared lies in the photo, (3, 3).
    """
    moved = [cut(infrared, visible, drawn.warp) for infrared, visible in pairs]
    left, top = moved[0][2]
    warp, place = (shift(-left, -top) @ whole @ shift(left, top) for whole in (drawn.warp, reference))
    rig = accepted_rig([(infrared, visible) for infrared, visible, _ in moved], drawn.model)
    error = error_of(rig, place @ warp)
    if len(pairs) > 1 or rig is None:
        return error, None
    height, width = moved[0][1].shape
    part = np.s_[int(top) : int(top) + height, int(left) : int(left) + width]
    own = accepted_rig([(pairs[0][0][part], pairs[0][1][part])], drawn.model)
    return error, error_of(rig, own.transform @ warp) if own else None


def accepted_rig(pairs: Sequence[Pair], model: str) -> Rig | None:
    """The rig of some pairs, None where it is refused."""
    try:
        return register_pairs(pairs, model).rig
    except RegistrationRefusedError:
        return None


def error_of(rig: Rig | None, truth: np.ndarray) -> float | None:
    """How far a rig puts infrared's corners from where a transform, (3, 3), does; None without a rig."""
    return corner_distance(rig.transform, truth, rig.infrared_size) if rig else None


HEADS = [
    "data, warp",
    "pairs of a rig",
    "rigs",
    *(f"< {limit} px" for limit in LIMITS),
    "refused",
    "median px",
    f"< {NEAR} px beside its own place",
]


def rows_of(cases: Sequence[Case], referenced: Collection[str]) -> list[list[str]]:
    """A row for each data set, kind of warp and number of pairs; those with a reference say so."""
    groups = sorted(
        {(case.model, len(case.pairs)) for case in cases}, key=lambda group: (MODELS.index(group[0]), group)
    )
    rows = []
    for data in dict.fromkeys(case.data for case in cases):
        for model, count in groups:
            chosen = [case for case in cases if (case.data, case.model, len(case.pairs)) == (data, model, count)]
            if chosen:
                ruler = ", by the rig" if data in referenced else ""
                rows.append([f"{data}, {model}{ruler}", str(count), *summary(chosen)])
    return rows


def summary(cases: Sequence[Case]) -> list[str]:
    """How many rigs, their shares in %, the median error of those accepted, and for single pairs the last column.

    A refused rig counts as not found, and beside its own place a pair that is refused there.
    """
    errors, beside = distances(case.error for case in cases), distances(case.beside_own for case in cases)
    accepted = np.isfinite(errors)
    shares = [*(np.mean(errors < limit) for limit in LIMITS), np.mean(~accepted)]
    middle = np.median(errors[accepted]) if accepted.any() else np.nan
    alone = f"{100 * np.mean(beside < NEAR):.0f}" if len(cases[0].pairs) == 1 else "–"
    return [str(len(cases)), *(f"{100 * share:.0f}" for share in shares), f"{middle:.1f}", alone]


def distances(errors: Iterable[float | None]) -> np.ndarray:
    """Errors as numbers, infinite where there is none."""
    return np.array([np.inf if error is None else error for error in errors])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for rigs.json and rigs.md")
    add_data(parser)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    references = {name: load_rig(path) for name, path in options.reference}
    lenses = {name: load_field(path) for name, path in options.lens}
    settings = sorted(
        f"{name}={value}" for name, value in [*vars(options).items(), ("rigs", RIGS)] if name != "write_docs"
    )
    results = options.output / "rigs.json"
    known = saved_cases(results, settings, Case)
    cases: list[Case] = []
    for data, folder in options.folders:
        files = find_pairs(folder)[0]
        greys = [(grey(pair.infrared), grey(pair.visible)) for pair in files]
        if data in lenses:
            greys = [(lenses[data].corrected(infrared), visible) for infrared, visible in greys]
        size = greys[0][1].shape[1], greys[0][1].shape[0]
        reference = reference_of(references.get(data), size)
        rng = np.random.default_rng(options.seed)
        drawn = drawn_rigs(rng, len(files), size, max(RIGS.values()), max(RIGS))
        todo = [(rig, count) for count, number in RIGS.items() for rig in drawn[: number * len(MODELS)]]
        for rig, count in tqdm(todo, desc=data, unit="rig"):
            if len(cases) < len(known):
                cases.append(known[len(cases)])
                continue
            places = rig.places[:count]
            errors = errors_of([greys[place] for place in places], rig, reference)
            cases.append(Case(data, rig.model, [files[place].name for place in places], *errors))
            results.write_text(json.dumps({"settings": settings, "cases": [asdict(case) for case in cases]}, indent=1))
    table = table_of(HEADS, rows_of(cases, references))
    (options.output / "rigs.md").write_text(as_markdown(table) + "\n")
    print(as_text(table))
    if options.write_docs:
        replace_block(options.write_docs, "rigs", as_markdown(table))


if __name__ == "__main__":
    main()
