# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""How well `maefuse align` finds known warps, and whether it refuses what it cannot find.

python -m benchmarks.registration MSRS=pairs/MSRS RoadScene=pairs/RoadScene -o OUT [--write-docs docs/registration.md]

Each pair is taken as its data set registered it. Infrared is turned (±5°), scaled (±8 %) and shifted (±25 px), in half
of the cases its corners are moved too (a homography), and both images are cut so that nothing blank is seen. The error
is the mean distance of infrared's four corners from where they belong. Infrared of another scene must be refused;
none is tried of data sets that --lens names, which are others again.

A run that was stopped goes on where it was with the same command. Table and plot go to OUT and, with --write-docs, into
a page between its marks.
"""

import argparse
import json
import shutil
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from benchmarks.lens_field import grey, load_field
from benchmarks.marked_block import replace_block
from maefuse_hf.evaluation.table import as_markdown, as_text, table_of
from maefuse_hf.inference import find_pairs
from maefuse_hf.registration import RegistrationRefusedError, Rig, load_rig, register
from maefuse_hf.registration.geometry import between_centres, corner_distance, corners, shift, similarity, transformed

ROTATION, SCALE, SHIFT, CORNERS = 5.0, 0.08, 25.0, 0.02
"""Largest warp: degrees, share, pixels, and how far a corner moves in a homography as a share of the width."""

LIMITS = 2, 3, 5
NEAR = 3
"""Mean corner errors in pixels that are counted, and the one that counts as right."""
WRONG, ELSEWHERE = 5, 15
"""Errors in pixels above which an accepted transform is wrong, and at which infrared lies in another place."""


AnyCase = TypeVar("AnyCase")
"""A dataclass of one measured case."""


@dataclass(frozen=True)
class Case:
    """What came of one pair.

    `error` is None where no transform was found, and for infrared of another scene. `stated_error` is by the data set's
    own registration where `error` is by a reference.
    """

    data: str
    pair: str
    model: str
    mismatched: bool
    accepted: bool
    score: float
    error: float | None
    stated_error: float | None
    seconds: float


def random_warp(rng: np.random.Generator, size: tuple[int, int], model: str) -> np.ndarray:
    """A warp about the middle of an image of (width, height), (3, 3)."""
    middle = np.array(size) / 2
    angle, scale = np.radians(rng.uniform(-ROTATION, ROTATION)), 1 + rng.uniform(-SCALE, SCALE)
    warp = shift(*(middle + rng.uniform(-SHIFT, SHIFT, 2))) @ similarity(scale, angle) @ shift(*-middle)
    if model == "homography":
        places = corners(size)
        moved = places + rng.uniform(-CORNERS, CORNERS, (4, 2)) * size[0]
        warp = warp @ cv2.getPerspectiveTransform(places.astype(np.float32), moved.astype(np.float32))
    return warp


def cut(
    infrared: np.ndarray, visible: np.ndarray, warp: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """Warped infrared and the photo, cut about the middle as large as all of infrared is seen, and what was cut off.

    What was cut off is across, down.
    """
    height, width = visible.shape
    shares = np.linspace(1, 0.3, 141)
    left, top = next(
        (left, top)
        for left, top in (np.ceil((1 - share) / 2 * np.array((width, height))) for share in shares)
        if seen(transformed(warp, corners((width - 2 * left, height - 2 * top)) + np.array((left, top))), width, height)
    )
    part = np.s_[int(top) : height - int(top), int(left) : width - int(left)]
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    warped = cv2.warpPerspective(infrared, between_centres(warp), (width, height), flags=flags)
    return warped[part], visible[part], (left, top)


def seen(places: np.ndarray, width: int, height: int) -> bool:
    """Whether all places lie in an image."""
    return bool(((places >= 0) & (places <= (width, height))).all())


def measure(
    data: str, pair: str, infrared: np.ndarray, visible: np.ndarray, truths: Sequence[np.ndarray], model: str
) -> Case:
    """Register one pair; without true transforms it should be refused.

    Args:
        truths: where infrared lies by the reference, and by the data set's own registration, (3, 3) each.
    """
    start = time.perf_counter()
    try:
        registration, accepted = register(infrared, visible, model), True
    except RegistrationRefusedError as refused:
        registration, accepted = refused.registration, False
    seconds = time.perf_counter() - start
    errors: list[float | None] = [None, None]
    if truths and registration is not None:
        found, size = registration.rig.transform, registration.rig.infrared_size
        errors = [corner_distance(found, truth, size) for truth in truths]
    score = registration.rig.score if registration else 0.0
    return Case(data, pair, model, not truths, accepted, score, *errors, seconds)


def summary(cases: list[Case]) -> list[str]:
    """A row of the table: shares of the registered pairs in %, refused ones counting as not found."""
    true, foreign = [case for case in cases if not case.mismatched], [case for case in cases if case.mismatched]
    errors = np.array([np.inf if case.error is None else case.error for case in true])
    accepted = np.array([case.accepted for case in true])
    shares = [np.mean(accepted & (errors < limit)) for limit in LIMITS]
    shares += [1 - accepted.mean()]
    shares += [np.mean(accepted & (errors > limit)) for limit in (WRONG, ELSEWHERE)]
    middle = np.median(errors[accepted]) if accepted.any() else np.nan
    seconds = np.mean([case.seconds for case in cases])
    wrong = f"{100 * np.mean([case.accepted for case in foreign]):.0f}" if foreign else "–"
    return [str(len(true)), *(f"{100 * share:.0f}" for share in shares), wrong, f"{middle:.1f}", f"{seconds:.1f}"]


HEADS = [
    "data, warp",
    "pairs",
    *(f"< {limit} px" for limit in LIMITS),
    "refused",
    f"accepted > {WRONG} px",
    f"accepted > {ELSEWHERE} px",
    "accepted of another scene",
    "median px",
    "s a pair",
]


def plot(cases: list[Case], path: Path) -> None:
    """Errors of accepted pairs as a cumulative curve, and scores of pairs and of foreign infrared."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), constrained_layout=True)
    for data in dict.fromkeys(case.data for case in cases):
        own = [case for case in cases if case.data == data and not case.mismatched]
        errors = np.sort([case.error for case in own if case.accepted and case.error is not None])
        found = np.array([*range(len(errors) + 1), len(errors)]) / len(own)
        left.step([0, *errors, 20], 100 * found, where="post", label=data)
    left.set(xlim=(0, 15), ylim=(0, 100), xlabel="mean corner error in px", ylabel="% of the pairs, accepted")
    left.axvline(NEAR, color="grey", linewidth=0.8, linestyle=":")
    left.legend()
    bins = np.linspace(0, 1, 41)
    right.hist([case.score for case in cases if not case.mismatched], bins, alpha=0.6, label="pairs")
    right.hist([case.score for case in cases if case.mismatched], bins, alpha=0.6, label="infrared of another scene")
    right.set(xlabel="score", ylabel="pairs")
    right.legend()
    figure.savefig(path, dpi=110)


def named_folder(text: str) -> tuple[str, Path]:
    """`NAME=FOLDER`."""
    name, _, folder = text.partition("=")
    return (name, Path(folder)) if folder else (Path(text).name, Path(text))


def saved_cases(results: Path, settings: list[str], kind: type[AnyCase]) -> list[AnyCase]:
    """The cases of a run that was stopped, from its file; none where there is no file, or one of other settings."""
    saved = json.loads(results.read_text()) if results.is_file() else {}
    return [kind(**case) for case in saved["cases"]] if saved.get("settings") == settings else []


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add what is measured, and by which ruler, to the options."""
    parser.add_argument("folders", type=named_folder, nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--reference",
        type=named_folder,
        action="append",
        default=[],
        metavar="NAME=RIG",
        help="true place of infrared in that folder's photos, where the data set's own registration is known to be off",
    )
    parser.add_argument(
        "--lens",
        type=named_folder,
        action="append",
        default=[],
        metavar="NAME=FIELD",
        help="move that folder's infrared by a field of benchmarks.lens_field first",
    )
    parser.add_argument("--write-docs", type=Path, metavar="PAGE", help="write the results into this page too")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for registration.json, .md and .png")
    parser.add_argument("--pairs", type=int, default=40, help="of each folder; in smaller ones pairs get several warps")
    parser.add_argument("--name-contains", default="", help="take only pairs with this in their name")
    add_data(parser)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    references = {name: load_rig(path) for name, path in options.reference}
    lenses = {name: load_field(path) for name, path in options.lens}
    settings = sorted(f"{name}={value}" for name, value in vars(options).items() if name != "write_docs")
    results = options.output / "registration.json"
    known = saved_cases(results, settings, Case)
    cases: list[Case] = []

    def take(*given: Any) -> None:
        """Measure the next case, or take it from the file, and keep it there."""
        cases.append(known[len(cases)] if len(cases) < len(known) else measure(*given))
        results.write_text(json.dumps({"settings": settings, "cases": [asdict(case) for case in cases]}, indent=1))

    for data, folder in options.folders:
        pairs = [pair for pair in find_pairs(folder)[0] if options.name_contains in pair.name]
        rng = np.random.default_rng(options.seed)
        order = np.resize(rng.permutation(len(pairs)), options.pairs)
        for number, index in enumerate(tqdm(order, desc=data, unit="pair")):
            # neighbours in a list may show one place
            pair, other = pairs[index], pairs[(index + len(pairs) // 2) % len(pairs)]
            visible = grey(pair.visible)
            model = ("similarity", "homography")[number % 2]
            size = visible.shape[1], visible.shape[0]
            warp = random_warp(rng, size, model)
            reference = reference_of(references.get(data), size)
            own = grey(pair.infrared)
            infrared, photo, (left, top) = cut(lenses[data].corrected(own) if data in lenses else own, visible, warp)
            truths = [shift(-left, -top) @ place @ warp @ shift(left, top) for place in (reference, np.eye(3))]
            take(data, pair.name, infrared, photo, truths, model)
            if other.name != pair.name and data not in lenses:
                foreign = np.asarray(Image.fromarray(grey(other.infrared)).resize(size))
                infrared, photo, _ = cut(foreign, visible, warp)
                take(data, f"{pair.name}, {other.name}", infrared, photo, [], model)
    plot(cases, options.output / "registration.png")
    table = table_of(HEADS, rows_of(cases, set(references)))
    text = f"{reach_of(cases, set(references), set(lenses))}\n\n{as_markdown(table)}"
    (options.output / "registration.md").write_text(text + "\n")
    print(as_text(table))
    if options.write_docs:
        write_docs(options.write_docs, text, options.output / "registration.png")


def rows_of(cases: Sequence[Case], referenced: set[str]) -> list[list[str]]:
    """A row for each data set and kind of warp; of those with a reference, one more by their own registration."""
    rows = []
    for data in dict.fromkeys(case.data for case in cases):
        for model in ("similarity", "homography"):
            chosen = [case for case in cases if (case.data, case.model) == (data, model)]
            if data in referenced:
                rows.append([f"{data}, {model}, by the rig", *summary(chosen)])
                chosen = as_stated(chosen)
            rows.append([f"{data}, {model}", *summary(chosen)])
    return rows


def as_stated(cases: Sequence[Case]) -> list[Case]:
    """The same cases with their errors by the data set's own registration."""
    return [replace(case, error=case.stated_error) for case in cases]


def reach_of(cases: Sequence[Case], referenced: set[str], moved: Collection[str] = ()) -> str:
    """What share of the pairs lies right, and what was wrongly accepted, in sentences.

    Pairs of data sets that were `moved` by a lens field are others' pairs again, and counted once.
    """
    sentences = []
    for data in dict.fromkeys(case.data for case in cases):
        own = [case for case in cases if case.data == data and not case.mismatched]
        share = f"{within(as_stated(own), NEAR):.0f} % by its own registration" if data in referenced else ""
        share = f"{within(own, NEAR):.0f} % by the rig, {share}" if share else f"{within(own, NEAR):.0f} %"
        sentences.append(f"{data}: {share}")
    once = [case for case in cases if case.data not in moved]
    true, foreign = [case for case in once if not case.mismatched], [case for case in once if case.mismatched]
    elsewhere = sum(case.accepted and (case.error or 0) > ELSEWHERE for case in true)
    wrong = sum(case.accepted for case in foreign)
    return (
        f"Accepted and within {NEAR} px, both kinds of warp together: {'; '.join(sentences)}. Of {len(foreign)} pairs "
        f"with infrared of another scene {wrong} were accepted; of {len(true)} true pairs {elsewhere} were accepted at "
        f"another place, more than {ELSEWHERE} px away: {100 * (wrong + elsewhere) / len(once):.1f} % of all together."
    )


def within(cases: Sequence[Case], limit: float) -> float:
    """Percentage of the cases that were accepted with less than this error."""
    return float(100 * np.mean([case.accepted and case.error is not None and case.error < limit for case in cases]))


def write_docs(page: Path, text: str, image: Path) -> None:
    """Put the text between the marks of a page, and the plot into its images."""
    replace_block(page, "registration", text)
    shutil.copy(image, page.parent / "images" / image.name)


def reference_of(rig: Rig | None, size: tuple[int, int]) -> np.ndarray:
    """Where unwarped infrared lies: as the rig says, else exactly on the photo."""
    if rig is None:
        return np.eye(3)
    rig.require_sizes(size, size)
    return rig.transform


if __name__ == "__main__":
    main()
