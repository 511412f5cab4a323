"""Remake docs/results.md from what the measurements left.

python benchmarks/results.py --evaluation OUT … --downstream FILE.json [--published FILE.csv] [-o docs/results.md]

OUT is a folder of `maefuse evaluate --damage` with metrics.csv, metrics.json and damage.json, the first of the model
and others of further systems on the same data; FILE.json the downstream.json of `python -m benchmarks.downstream`.
FILE.csv holds other systems' metrics of the same pairs, a line for each method, set and pair.
"""

import argparse
import csv
import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maefuse_hf.evaluation.baselines import BASELINES, RULE, SOURCES_ALONE
from maefuse_hf.evaluation.robustness import SHARE, UNDAMAGED
from maefuse_hf.evaluation.robustness_report import ALL_KINDS
from maefuse_hf.evaluation.stability import CROP_CHANGE, FRAME_CHANGE
from maefuse_hf.evaluation.summary import NO_VALUE, RANKING_METRICS
from maefuse_hf.evaluation.table import Cell, as_markdown, table_of

MATCHED = "VIF matched"
DOWNSTREAM_COLUMNS = {
    "people": ("detector", "person"),
    "people by night": ("detector", "person by night"),
    "cars": ("detector", "car"),
    "mIoU": ("segmenter", "mIoU"),
    "mIoU by night": ("segmenter", "mIoU by night"),
}
PUBLISHED_NAMES = {
    "datfuse": "DATFuse",
    "densefuse": "DenseFuse",
    "didfuse": "DIDFuse",
    "ifcnn": "IFCNN",
    "reconet": "ReCoNet",
    "sage": "SAGE",
    "seafusion": "SeAFusion",
    "tardal": "TarDAL",
    "u2fusion": "U2Fusion",
}
PUBLISHED_IMAGES = "_pub"
"""How the file marks systems that were measured on the images that their authors published."""

PUBLISHED_BASELINES = {"mean", "max", "ir_only", "vi_only"}
"""Rows of the file that the evaluation has itself."""

NO_DOWNSTREAM: dict[str, dict[str, dict[str, Any]]] = {"values": {}, "differences": {}}
"""A column of the downstream check that was not measured."""

Means = dict[str, dict[str, float]]
"""By system and metric."""


@dataclass(frozen=True)
class Measured:
    """What the files hold. `metrics` is by data set; `kept`, `values` are by system, kind and metric."""

    ours: str
    metrics: dict[str, Means]
    pairs: dict[str, int]
    bounds: dict[str, float]
    kept: dict[str, dict[str, dict[str, float]]]
    values: dict[str, dict[str, dict[str, float]]]
    damaged_pairs: int
    downstream: dict[str, Any]


def read_measured(evaluations: Sequence[Path], downstream: Path, published: Path | None) -> Measured:
    """Read the files. What several evaluations measured of one system is taken from the first of them.

    Args:
        evaluations: folders of one data; the first is of the model that the others are compared with.
        downstream, published: see above.

    Raises:
        OSError: one is missing.
        ValueError: one does not fit the others.
    """
    first = evaluations[0]
    about = read_json(first / "metrics.json")["about"]
    checked = read_json(downstream)
    ours = about.get("model")
    if ours is None or ours != checked["about"]["reference"]:
        raise ValueError(
            f"{first} measured the model {ours}, {downstream} compares with {checked['about']['reference']}; both "
            "must be of one model."
        )
    damaged_pairs = read_json(first / "damage.json")["pairs"]
    measured = Measured(ours, {}, {}, correlation_bounds(first / "metrics.csv"), {}, {}, damaged_pairs, checked)
    for folder in evaluations:
        metrics, damage = read_json(folder / "metrics.json"), read_json(folder / "damage.json")
        if metrics["about"]["data sha256"] != about["data sha256"] or damage["pairs"] != damaged_pairs:
            raise ValueError(f"{folder} was measured on other data, or on other damaged pairs, than {first}.")
        for name, own in metrics["datasets"].items():
            measured.pairs[name] = own["pairs"]
            add(measured.metrics.setdefault(name, {}), own["systems"], plain_means)
        add(measured.kept, damage["share kept"], means_by_kind)
        add(measured.values, damage["values"], means_by_kind)
    if published is not None:
        for dataset, systems in published_means(published).items():
            if dataset in measured.metrics:
                # what was measured here has more columns than the published row of the same name
                measured.metrics[dataset] = systems | measured.metrics[dataset]
    return measured


def read_json(path: Path) -> Any:
    """What a JSON file holds."""
    return json.loads(path.read_text(encoding="utf-8"))


def add(known: dict[str, Any], more: Mapping[str, Any], means: Callable[[Any], Any]) -> None:
    """Add what is not known yet, as means."""
    known |= {system: means(values) for system, values in more.items() if system not in known}


def means_by_kind(kinds: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """`plain_means` for each kind of damage."""
    return {kind: plain_means(values) for kind, values in kinds.items()}


def plain_means(values: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """The means of an evaluation's JSON; NaN where there is none."""
    return {name: math.nan if own["mean"] is None else float(own["mean"]) for name, own in values.items()}


def published_means(path: Path) -> dict[str, Means]:
    """Means of the systems in a file of single pairs, by data set."""
    rows: dict[str, dict[str, list[dict[str, str]]]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["method"] not in PUBLISHED_BASELINES:
                rows.setdefault(row["set"], {}).setdefault(published_name(row["method"]), []).append(row)
    return {
        dataset: {
            system: {metric: mean(float(row[metric] or "nan") for row in own) for metric in RANKING_METRICS}
            for system, own in systems.items()
        }
        for dataset, systems in rows.items()
    }


def published_name(method: str) -> str:
    """The method's own spelling; * for published images."""
    if method.endswith(PUBLISHED_IMAGES):
        return method.removesuffix(PUBLISHED_IMAGES) + "*"
    return PUBLISHED_NAMES.get(method, method)


def correlation_bounds(path: Path) -> dict[str, float]:
    """The most CC that any image can have, mean over the pairs of each data set.

    No image's CC exceeds sqrt((1 + r(I, V)) / 2), and a source alone has the CC (1 + r(I, V)) / 2.
    """
    found: dict[str, list[float]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["system"] in SOURCES_ALONE and row["CC"]:
                found.setdefault(row["dataset"], []).append(math.sqrt(max(0.0, float(row["CC"]))))
    return {dataset: mean(values) for dataset, values in found.items()}


def mean(values: Iterable[float]) -> float:
    """Mean of what is a number; NaN of nothing."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def mean_ranks(systems: Means) -> dict[str, float]:
    """Mean of the ranks in `RANKING_METRICS`, equal ones sharing theirs; the sources alone are left out, and so is a
    system that lacks one of the metrics."""
    ranked = {
        name: values
        for name, values in systems.items()
        if name not in SOURCES_ALONE and not any(math.isnan(values.get(metric, math.nan)) for metric in RANKING_METRICS)
    }
    return {
        name: mean(
            sum(other[metric] > values[metric] for other in ranked.values())
            + (1 + sum(other[metric] == values[metric] for other in ranked.values())) / 2
            for metric in RANKING_METRICS
        )
        for name, values in ranked.items()
    }


def number(value: float, decimals: int = 3) -> str:
    """For a cell."""
    return NO_VALUE if math.isnan(value) else f"{value:.{decimals}f}"


def downstream_columns(own: Measured, columns: Mapping[str, tuple[str, str]]) -> dict[str, dict[str, Any]]:
    """By title, the columns of the parts that were measured: the segmenter can be left out (`--detector-only`)."""
    return {
        title: own.downstream[part].get(name, NO_DOWNSTREAM)
        for title, (part, name) in columns.items()
        if own.downstream[part]
    }


def use_table(own: Measured) -> str:
    """What systems are good for: detector, segmenter, damage, stability, a row for each that has one of them."""
    changes = {
        system: {
            change: mean(means[system].get(change, math.nan) for means in own.metrics.values() if system in means)
            for change in (CROP_CHANGE, FRAME_CHANGE)
        }
        for system in dict.fromkeys(system for means in own.metrics.values() for system in means)
    }
    downstream = downstream_columns(own, DOWNSTREAM_COLUMNS)
    measured = [name for column in downstream.values() for name in column["values"]]
    systems = list(dict.fromkeys([own.ours, *measured, *own.kept]))
    rows: list[list[Cell | str]] = []
    for system in systems:
        cells: list[Cell | str] = [Cell(system, best=system == own.ours)]
        for column in downstream.values():
            value = column["values"].get(system)
            real = column["differences"].get(system, {}).get("real", False)
            cells.append(NO_VALUE if value is None else f"{100 * value['value']:.1f}{'*' if real else ''}")
        kept, values = own.kept.get(system, {}), own.values.get(system, {})
        cells.append(number(kept.get(ALL_KINDS, {}).get(SHARE, math.nan)))
        cells += [number(values.get(kind, {}).get(MATCHED, math.nan)) for kind in (UNDAMAGED, ALL_KINDS)]
        cells += [number(changes.get(system, {}).get(change, math.nan), 2) for change in (CROP_CHANGE, FRAME_CHANGE)]
        rows.append(cells)
    titles = ["system", *downstream, SHARE]
    titles += [f"{MATCHED}, undamaged", f"{MATCHED}, damaged", CROP_CHANGE, FRAME_CHANGE]
    return as_markdown(table_of(titles, rows))


def losses(own: Measured) -> list[str]:
    """Sentences on where the model loses: really, to whom, and by how much."""
    lines = []
    for part, columns in (("detector", own.downstream["detector"]), ("segmenter", own.downstream["segmenter"])):
        for title, column in columns.items():
            worse = [
                f"{system} (by {100 * difference['value']:.1f})"
                for system, difference in column["differences"].items()
                if difference["real"] and difference["value"] > 0
            ]
            if worse:
                lines.append(f"{part}, {title}: to {', '.join(worse)}.")
    kinds = own.kept.get(own.ours, {})
    for system, others in own.kept.items():
        if system in SOURCES_ALONE or system == own.ours:
            continue
        behind = [
            f"{kind} ({number(kinds[kind][SHARE])} to {number(others[kind][SHARE])})"
            for kind in others
            if kind not in (UNDAMAGED, ALL_KINDS) and kind in kinds and kinds[kind][SHARE] < others[kind][SHARE]
        ]
        if behind:
            lines.append(f"damage, {SHARE}: to {system} under {', '.join(behind)}.")
    for change in (CROP_CHANGE, FRAME_CHANGE):
        calm = {
            system: mean(means[system].get(change, math.nan) for means in own.metrics.values() if system in means)
            for system in dict.fromkeys(system for means in own.metrics.values() for system in means)
        }
        ours = calm[own.ours]
        calmer = [system for system, value in calm.items() if value < ours and system not in SOURCES_ALONE]
        if calmer:
            lines.append(f"stability, {change}: to {', '.join(calmer)}.")
    for dataset, systems in own.metrics.items():
        for metric in RANKING_METRICS:
            ahead = [
                system
                for system in BASELINES
                if system not in SOURCES_ALONE
                and systems.get(system, {}).get(metric, math.nan) > systems[own.ours][metric]
            ]
            if ahead:
                lines.append(f"{dataset}, {metric}: to {', '.join(ahead)}, which cost nothing.")
    return lines


def dataset_section(own: Measured, dataset: str) -> str:
    """The six metrics of a data set, by mean rank."""
    systems = own.metrics[dataset]
    ranks = mean_ranks(systems)
    order = sorted(systems, key=lambda name: (ranks.get(name, math.inf), name in SOURCES_ALONE))
    rows: list[list[Cell | str]] = [
        [
            Cell(name, best=name == own.ours),
            *(number(systems[name].get(metric, math.nan)) for metric in RANKING_METRICS),
            number(systems[name].get(MATCHED, math.nan)),
            number(ranks.get(name, math.nan), 2),
        ]
        for name in order
    ]
    text = as_markdown(table_of(["system", *RANKING_METRICS, MATCHED, "mean rank"], rows))
    bound = own.bounds.get(dataset, math.nan)
    share = systems[own.ours]["CC"] / bound
    return (
        f"## {dataset} ({own.pairs[dataset]} pairs)\n{text}\n\nNo image can have more CC than {bound:.3f} here; "
        f"{own.ours} has {100 * share:.1f} % of it."
    )


def page(own: Measured) -> str:
    """docs/results.md."""
    about = own.downstream["about"]
    lost = losses(own)
    kinds = [kind for kind in own.kept[own.ours] if kind != ALL_KINDS]
    missing = [part for part in ("detector", "segmenter") if not own.downstream[part]]
    not_run = f"Not measured for this page: {', '.join(missing)}. " if missing else ""
    parts = [
        "# Results",
        f"`{own.ours}` beside other systems. This page is made by `benchmarks/results.py`; "
        "docs/evaluation.md tells how each number is measured.",
        "## What the images are good for",
        f"Detector: AP at IoU 0.4, in percent, of a fixed detector on {about['test pairs']} labelled pairs that had no "
        f"part in training. Segmenter: IoU, in percent, of a small network that is trained on a system's images, "
        f"mean of {about['seeds']} seeds. {not_run}* is a real difference to {own.ours}: the difference's interval "
        f"({about['interval']}) leaves out zero. {SHARE.capitalize()}: of VIF and Qabf on {own.damaged_pairs} pairs "
        f"under {len(kinds)} kinds of damage. {MATCHED}: VIF of the image "
        "that is brought to the sources' brightness and contrast, on the same pairs. Changes are in grey levels, "
        "and less is better.",
        use_table(own),
        "## Where it loses",
        "\n".join(f"- {line}" for line in lost) if lost else "Nowhere in these columns.",
        "## The six metrics of the field",
        "For all of them more is better. They are a guard and no measure of use: stretched contrast wins EN, SCD and "
        f"VIF, and the {RULE}, a formula of pixels, stands beside the networks. The mean rank is over the six columns; "
        "the sources alone are left out of it. Systems marked * were measured on the images that their authors "
        "published, the others were run with their own published weights.",
        *(dataset_section(own, dataset) for dataset in own.metrics),
    ]
    return "\n\n".join(parts) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Remake docs/results.md.")
    parser.add_argument("--evaluation", type=Path, nargs="+", required=True, help="of maefuse evaluate --damage")
    parser.add_argument("--downstream", type=Path, required=True, help="downstream.json")
    parser.add_argument("--published", type=Path, help="CSV file of other systems' metrics on the same pairs")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/results.md"))
    options = parser.parse_args(arguments)
    text = page(read_measured(options.evaluation, options.downstream, options.published))
    options.output.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
