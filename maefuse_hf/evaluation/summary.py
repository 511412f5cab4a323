# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""From rows of metrics to means with intervals, tables, and the pairs worth looking at."""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..metrics.fusion import LOWER_IS_BETTER as LOWER_METRICS
from .baselines import AVERAGE, BASELINES, SOURCES_ALONE
from .runner import Row
from .stability import CHANGES
from .table import Cell, Table, as_markdown, escaped, table_of

RESAMPLES, SEED, CONFIDENCE = 2000, 0, 0.95
RESAMPLED_AT_ONCE = 10**6

LOWER_IS_BETTER = LOWER_METRICS | CHANGES
"""Columns of which the lowest mean is the best."""

RANKING_METRICS = ("EN", "CC", "SCD", "VIF", "Qabf", "SSIM")
RANKING = (
    f"pairs are ranked by the mean of their ranks in {', '.join(RANKING_METRICS)}, each taken as the gain over the "
    "plain average of the two sources, so that a scene which is hard for all methods does not count as badly fused"
)

NO_VALUE = "–"
DECIMALS = {"MSE": 5, "Nabf": 5}
OTHER_DECIMALS = 3


@dataclass(frozen=True)
class Summary:
    """A mean over pairs with its bootstrap interval, and over how many pairs; NaN over none."""

    mean: float
    low: float
    high: float
    pairs: int


Summaries = dict[str, dict[str, dict[str, Summary]]]
"""By data set, system and metric."""


def bootstrap(values: Sequence[float]) -> Summary:
    """Mean and percentile bootstrap interval; undefined values (NaN) are left out.

    Pairs are drawn with replacement, as many as there are, `RESAMPLES` times from a fixed seed; the interval's ends
    are the means below and above which (1 − `CONFIDENCE`) / 2 of the resampled means lie. Source: Efron and Tibshirani,
    An Introduction to the Bootstrap (1993), chapter 13.
    """
    defined = np.array([value for value in values if not math.isnan(value)])
    count = len(defined)
    if not count:
        return Summary(math.nan, math.nan, math.nan, 0)
    generator = np.random.default_rng(SEED)
    parts = np.array_split(np.arange(RESAMPLES), math.ceil(RESAMPLES * count / RESAMPLED_AT_ONCE))
    means = [defined[generator.integers(count, size=(len(part), count))].mean(axis=1) for part in parts]
    tail = (1 - CONFIDENCE) / 2
    # one of the resampled means, not a value between two: an infinite PSNR has no neighbour to interpolate with
    low, high = np.quantile(np.concatenate(means), (tail, 1 - tail), method="inverted_cdf")
    return Summary(defined.mean().item(), low.item(), high.item(), count)


def summarise(rows: Sequence[Row]) -> Summaries:
    """Every mean with its interval, in the rows' order."""
    grouped: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        grouped.setdefault(row.dataset, {}).setdefault(row.system, []).append(row)
    metrics = metric_names(rows)
    order = system_names(rows)
    return {
        dataset: {
            system: {
                metric: bootstrap([row.values.get(metric, math.nan) for row in systems[system]]) for metric in metrics
            }
            for system in order
            if system in systems
        }
        for dataset, systems in grouped.items()
    }


def metric_names(rows: Sequence[Row]) -> list[str]:
    """All metrics that a row has, those that only some systems have at the end."""
    return list(dict.fromkeys(name for row in sorted(rows, key=lambda row: len(row.values)) for name in row.values))


def system_names(rows: Sequence[Row]) -> list[str]:
    """All systems in the rows' order, baselines last: a system may have failed on the first pair."""
    names = dict.fromkeys(row.system for row in rows)
    return [name for name in names if name not in BASELINES] + [name for name in names if name in BASELINES]


def best_systems(systems: Mapping[str, Mapping[str, Summary]], metric: str) -> set[str]:
    """Which systems have the best mean of a metric, if two compete; the sources alone do not."""
    means = {name: values[metric].mean for name, values in systems.items() if name not in SOURCES_ALONE}
    means = {name: mean for name, mean in means.items() if not math.isnan(mean)}
    if len(means) < 2:
        return set()
    best = (min if metric in LOWER_IS_BETTER else max)(means.values())
    return {name for name, mean in means.items() if mean == best}


def number(value: float, metric: str) -> str:
    """A value for people to read."""
    return NO_VALUE if math.isnan(value) else f"{value:.{DECIMALS.get(metric, OTHER_DECIMALS)}f}"


def interval(summary: Summary, metric: str, pairs: int) -> str:
    """The interval in brackets, and over how many pairs if not over all; nothing where there is no mean."""
    if not summary.pairs:
        return ""
    count = "" if summary.pairs == pairs else f" (n={summary.pairs})"
    return f"[{number(summary.low, metric)}, {number(summary.high, metric)}]{count}"


def pairs_measured(systems: Mapping[str, Mapping[str, Summary]]) -> int:
    """How many pairs of a data set have rows: those of the baselines, whose EN always has a value."""
    return systems[AVERAGE]["EN"].pairs


def metrics_table(systems: Mapping[str, Mapping[str, Summary]], intervals_of: Collection[str] | None = None) -> Table:
    """The means of one data set: a row for each system, a column for each metric, the best of each column marked.

    Args:
        systems: of one data set.
        intervals_of: the systems whose intervals are noted beside the means; all of them if not said.
    """
    metrics = list(dict.fromkeys(metric for values in systems.values() for metric in values))
    pairs = pairs_measured(systems)
    best = {metric: best_systems(systems, metric) for metric in metrics}
    noted = systems if intervals_of is None else intervals_of
    rows = [
        [
            Cell(system),
            *(
                Cell(
                    number(values[metric].mean, metric),
                    interval(values[metric], metric, pairs) if system in noted else "",
                    system in best[metric],
                )
                for metric in metrics
            ),
        ]
        for system, values in systems.items()
    ]
    return table_of(["system", *metrics], rows)


def markdown(summaries: Summaries, about: Mapping[str, Any], problems: Sequence[str]) -> str:
    """A table for each data set, mean with interval, the best mean of each column bold."""
    parts = ["# Fusion metrics\n", *(f"- **{name}**: {value}" for name, value in facts(about).items()), ""]
    for dataset, systems in summaries.items():
        parts += [f"## {escaped(dataset)} ({pairs_measured(systems)} pairs)\n", as_markdown(metrics_table(systems)), ""]
    if problems:
        parts += ["## Problems\n", *(f"- {escaped(problem)}" for problem in problems), ""]
    return "\n".join(parts)


def facts(about: Mapping[str, Any]) -> dict[str, str]:
    """What `about` says, as sentences to print."""
    definitions = [f"{metric} {name}" for metric, name in about["definitions"].items() if name != "standard"]
    texts = {name: fact(value) for name, value in about.items() if name != "definitions" and value is not None}
    texts["definitions"] = ", ".join([*definitions, "all others standard"] if definitions else ["all standard"])
    return texts


def fact(value: Any) -> str:
    """A value of `about` as text; of a mapping, names and values."""
    return ", ".join(f"{name} {entry}" for name, entry in value.items()) if isinstance(value, Mapping) else str(value)


def as_json(summaries: Summaries, about: Mapping[str, Any], problems: Sequence[str]) -> str:
    """`{"about": …, "datasets": {data set: {"pairs": n, "systems": {system: {metric: {mean, low, high, pairs}}}}},
    "problems": how many}`; a mean that does not exist is null, an infinite one the text "inf"."""
    content = {
        "about": about,
        "datasets": {
            dataset: {
                "pairs": pairs_measured(systems),
                "systems": {
                    system: {metric: json_summary(summary) for metric, summary in values.items()}
                    for system, values in systems.items()
                },
            }
            for dataset, systems in summaries.items()
        },
        "problems": len(problems),
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def json_summary(summary: Summary) -> dict[str, float | str | None]:
    """Mean, interval and count as JSON has them, which knows neither NaN nor infinity."""
    values = {"mean": summary.mean, "low": summary.low, "high": summary.high}
    plain: dict[str, float | str | None] = {
        name: None if math.isnan(value) else value if math.isfinite(value) else str(value)
        for name, value in values.items()
    }
    return {**plain, "pairs": summary.pairs}


def rows_table(rows: Sequence[Row]) -> Table:
    """A row for each data set, pair and system, all digits; the cell of a value that does not exist is empty."""
    metrics = metric_names(rows)
    values = ([row.values.get(metric, math.nan) for metric in metrics] for row in rows)
    cells = (["" if math.isnan(value) else repr(value) for value in of_row] for of_row in values)
    names = ([row.dataset, row.pair, row.system] for row in rows)
    return table_of(["dataset", "pair", "system", *metrics], [[*first, *rest] for first, rest in zip(names, cells)])


def ranked_pairs(rows: Sequence[Row], dataset: str, system: str) -> list[str]:
    """The pairs of a data set that a system was measured on, best first, as `RANKING` says; undefined values do not
    count, and pairs of equal rank stand by name."""
    of_system, of_average = (
        {row.pair: row.values for row in rows if row.dataset == dataset and row.system == name}
        for name in (system, AVERAGE)
    )
    shares: dict[str, list[float]] = {pair: [] for pair in of_system}
    for metric in RANKING_METRICS:
        gains = {pair: values[metric] - of_average[pair][metric] for pair, values in of_system.items()}
        gains = {pair: gain for pair, gain in gains.items() if not math.isnan(gain)}
        for pair, share in rank_shares(gains).items():
            shares[pair].append(share)
    mean_share = {pair: np.mean(own) if own else 1.0 for pair, own in shares.items()}
    return sorted(mean_share, key=lambda pair: (mean_share[pair], pair))


def rank_shares(gains: Mapping[str, float]) -> dict[str, float]:
    """The share of all that gained more, equal ones counted half: near 0 for the best, near 1 for the worst."""
    every = np.array(list(gains.values()))
    return {
        pair: float(((every > gain).sum() + (every == gain).sum() / 2) / len(every)) for pair, gain in gains.items()
    }


def worth_a_look(ranked: Sequence[str]) -> dict[str, str]:
    """Of pairs ranked best first, the best, the median and the worst: pair to label, each pair once."""
    labels: dict[str, str] = {}
    for label, place in (("best", 0), ("median", len(ranked) // 2), ("worst", -1)):
        pair = ranked[place]
        labels[pair] = f"{labels[pair]} and {label}" if pair in labels else label
    return labels
