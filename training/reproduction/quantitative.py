"""Table 1: EN, CC and SCD beside the paper's rows, with what costs nothing and the bound of CC."""

import csv
import json
import math
from pathlib import Path
from typing import Any

from benchmarks.results import correlation_bounds
from maefuse_hf.evaluation.baselines import AVERAGE, MAXIMUM, RULE
from maefuse_hf.evaluation.summary import NO_VALUE
from maefuse_hf.evaluation.table import Cell, Table, table_of
from training.reproduction.experiment import Experiment, Section, no_runs
from training.reproduction.study import Study

METRICS = ("EN", "CC", "SCD")
PAPER = Path(__file__).parent / "paper_table_1.csv"
"""Table 1 of the paper (Li et al., MaeFuse, section 4.2), copied once."""


def paper_rows() -> dict[str, dict[str, dict[str, float]]]:
    """The paper's means by data set, method and metric."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    with PAPER.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            values = {metric: float(row[metric]) for metric in METRICS}
            found.setdefault(row["dataset"], {})[row["method"]] = values
    return found


def section(study: Study) -> Section:
    """A table for each data set that was measured."""
    assert study.evaluation is not None
    measured = json.loads((study.evaluation / "metrics.json").read_text(encoding="utf-8"))
    bounds = correlation_bounds(study.evaluation / "metrics.csv")
    model = measured["about"]["model"]
    paper = paper_rows()
    tables, above, beyond = [], [], []
    for dataset, own in measured["datasets"].items():
        systems = {name: own["systems"][name] for name in (model, RULE, AVERAGE, MAXIMUM) if name in own["systems"]}
        bound = bounds.get(dataset, math.nan)
        tables.append(
            (f"{dataset}, {own['pairs']} pairs", dataset_table(systems, paper.get(dataset, {}), bound, model))
        )
        ours, free = systems[model], systems[RULE]
        above += [f"{dataset} {metric}" for metric in METRICS if ours[metric]["mean"] > free[metric]["mean"]]
        beyond += [f"{name} on {dataset}" for name, own in paper.get(dataset, {}).items() if own["CC"] > bound]
    absent = sorted(set(paper) - set(measured["datasets"]))
    return Section(
        finding=(
            f"{model} is ahead of the {RULE}, a formula, in {', '.join(above) or 'none'} of "
            f"{len(METRICS) * len(tables)} columns."
        ),
        tables=tables,
        remarks=[
            weights_measured(measured["about"]),
            "The paper's rows were measured by its authors on their choice of pairs, with their code; ours by `maefuse "
            "evaluate`. They stand beside each other, they do not compare. No image's CC exceeds "
            "sqrt((1 + r(I, V)) / 2), r the correlation of the sources: a row above this bound was measured on other "
            f"pairs or by another formula. Such rows of the paper: {', '.join(beyond) or 'none'}.",
            f"Not measured here, for want of the pairs: {', '.join(absent) or 'nothing'}. The paper's model itself can "
            "be measured once its weights are there: `maefuse convert CHECKPOINT.pth FOLDER`, `maefuse evaluate "
            "--model FOLDER`, and this command with that evaluation.",
        ],
    )


def weights_measured(about: dict[str, Any]) -> str:
    """Which weights our rows are of, as far as the evaluation says."""
    digests = about.get("weights sha256")
    if not digests:
        return "The evaluation does not say which weights it measured; they may be others than those that ship now."
    return f"Weights, SHA-256: {', '.join(f'{name} {digest}' for name, digest in digests.items())}."


def dataset_table(systems: dict[str, Any], paper: dict[str, dict[str, float]], bound: float, model: str) -> Table:
    """Ours and what costs nothing, then the paper's rows; CC also as a share of its bound."""
    rows: list[list[Cell | str]] = []
    for name, values in systems.items():
        means = {metric: math.nan if values[metric]["mean"] is None else values[metric]["mean"] for metric in METRICS}
        share = NO_VALUE if math.isnan(bound) else f"{bound:.3f} ({100 * means['CC'] / bound:.0f} %)"
        rows.append([Cell(name, best=name == model), *(f"{means[metric]:.3f}" for metric in METRICS), share])
    rows += [
        [Cell(f"{name} (paper)"), *(f"{values[metric]:.3f}" for metric in METRICS), NO_VALUE]
        for name, values in paper.items()
    ]
    return table_of(["", *METRICS, "bound of CC (share reached)"], rows)


def needs(study: Study) -> str:
    """The evaluation, where none was given."""
    return "" if study.evaluation else "Not measured: give --evaluation FOLDER, a folder of `maefuse evaluate`."


EXPERIMENT = Experiment(
    "table1",
    "Quantitative comparison (Table 1)",
    "MaeFuse is best or second in nearly all columns of EN, CC and SCD on four data sets.",
    no_runs,
    section,
    needs=needs,
)
