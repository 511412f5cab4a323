# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Tables, a plot and images of what systems keep on damaged pairs."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..image_files import write_image
from ..visualization.captioned_row import side_by_side
from ..whole_files import write_text, written_beside
from .baselines import BASELINES, RULE, SOURCES_ALONE
from .damage import DAMAGES, STRENGTHS
from .plots import DOTS_PER_INCH
from .robustness import (
    SHARE,
    UNDAMAGED,
    DamageRow,
    damage_name,
    damage_table,
    damaged_images,
    fuse_damaged,
    row_key,
    shares_kept,
)
from .runner import BASELINE_SYSTEMS, SOURCES, Dataset, LiveSystem, System, read_sources
from .summary import NO_VALUE, Summary, bootstrap, interval, json_summary, number
from .table import Cell, as_csv, as_markdown, escaped, table_of

ALL_KINDS = "all"
WORST = 4
PANELS_A_ROW = 6

DamageSummaries = dict[str, dict[str, dict[str, Summary]]]
"""By system, kind (or `ALL_KINDS`) and metric: means over pairs, each pair's the mean over kinds and strengths."""


def write_damage(
    folder: Path,
    rows: Sequence[DamageRow],
    datasets: Sequence[Dataset],
    systems: Sequence[System],
    problems: Sequence[str],
    about: Mapping[str, Any],
) -> str:
    """Write damage.csv, .md, .json, .png and the worst pairs' images; gives the table of the share kept."""
    kept, values = summarise_damage(shares_kept(rows)), summarise_damage(rows)
    write_text(folder / "damage.csv", as_csv(damage_table(rows)))
    tables = damage_markdown(kept, values)
    problem_lines = ["", "## Problems", "", *(f"- {escaped(problem)}" for problem in problems)] if problems else []
    write_text(folder / "damage.md", "\n".join([tables, *problem_lines]) + "\n")
    content = {
        "about": about,
        "pairs": len({(row.dataset, row.pair) for row in rows}),
        "share kept": as_plain(kept),
        "values": as_plain(values),
        "problems": len(problems),
    }
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(folder / "damage.json", text + "\n")
    plot_damage(rows, folder / "damage.png")
    save_worst(folder / "damage_worst", rows, datasets, systems)
    return tables


def summarise_damage(rows: Sequence[DamageRow]) -> DamageSummaries:
    """Means and intervals over pairs, of each kind, and of all kinds but `UNDAMAGED` together."""
    grouped: dict[str, dict[str, dict[tuple[str, str], list[dict[str, float]]]]] = {}
    for row in rows:
        for kind in (row.kind,) if row.kind == UNDAMAGED else (ALL_KINDS, row.kind):
            of_kind = grouped.setdefault(row.system, {}).setdefault(kind, {})
            of_kind.setdefault((row.dataset, row.pair), []).append(row.values)
    metrics = list(rows[0].values) if rows else []
    return {
        system: {
            kind: {metric: bootstrap([mean_of(values, metric) for values in pairs.values()]) for metric in metrics}
            for kind, pairs in kinds.items()
        }
        for system, kinds in grouped.items()
    }


def mean_of(values: Sequence[dict[str, float]], metric: str) -> float:
    """Mean of a metric where it has a value; NaN where it has none."""
    known = [value[metric] for value in values if not math.isnan(value[metric])]
    return float(np.mean(known)) if known else math.nan


def damage_markdown(kept: DamageSummaries, values: DamageSummaries) -> str:
    """Two tables: metrics undamaged and damaged with the shares kept, and the share kept of each kind."""
    columns = ["VIF", "Qabf", "VIF matched"]
    titles = [f"{metric} {state}" for metric in columns for state in ("undamaged", "damaged", "kept")]
    rows: list[list[Cell | str]] = []
    for system, kinds in kept.items():
        share = kinds[ALL_KINDS][SHARE]
        cells: list[Cell | str] = [system, Cell(number(share.mean, SHARE), interval(share, SHARE, share.pairs))]
        own = values[system]
        for metric in columns:
            undamaged = own[UNDAMAGED][metric].mean if UNDAMAGED in own else math.nan
            means = (undamaged, own[ALL_KINDS][metric].mean, kinds[ALL_KINDS][metric].mean)
            cells += [number(mean, metric) for mean in means]
        rows.append(cells)
    measured = [kind for kind in DAMAGES if any(kind in kinds for kinds in kept.values())]
    by_kind = [
        [
            kind,
            DAMAGES[kind].hits,
            *(number(kinds[kind][SHARE].mean, SHARE) if kind in kinds else NO_VALUE for kinds in kept.values()),
        ]
        for kind in measured
    ]
    parts = [
        "# Damaged pairs",
        "Measured against the undamaged sources. Share kept: a metric of the fused damaged pair over that of the "
        "same system's fused undamaged pair; of the pair, the mean of VIF and Qabf. Intervals are over pairs.",
        as_markdown(table_of(["system", SHARE, *titles], rows)),
        "## Share kept, by kind",
        as_markdown(table_of(["kind", "hits", *kept], by_kind)),
    ]
    return "\n\n".join(parts)


def as_plain(summaries: DamageSummaries) -> dict[str, Any]:
    """As JSON has it."""
    return {
        system: {
            kind: {metric: json_summary(summary) for metric, summary in metrics.items()}
            for kind, metrics in kinds.items()
        }
        for system, kinds in summaries.items()
    }


def plot_damage(rows: Sequence[DamageRow], path: Path) -> None:
    """The mean share kept over the strength, a panel for each kind and a line for each system; sources alone left out.

    A PNG on white.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    points: dict[str, dict[str, dict[int, list[float]]]] = {}
    for row in shares_kept(rows):
        if row.system not in SOURCES_ALONE and not math.isnan(row.values[SHARE]):
            strengths = points.setdefault(row.kind, {}).setdefault(row.system, {})
            strengths.setdefault(row.strength, []).append(row.values[SHARE])
    systems = list(dict.fromkeys(row.system for row in rows if row.system not in SOURCES_ALONE))
    columns = min(PANELS_A_ROW, max(1, len(points)))
    lines = max(1, math.ceil(len(points) / columns))
    figure = Figure(figsize=(2.1 * columns + 2, 2 * lines + 0.6), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False, sharey=True).flatten()
    colours = colormaps["tab10"]
    for panel, (kind, own) in zip(panels, points.items()):
        for place, system in enumerate(systems):
            if system in own:
                means = [1.0, *(float(np.mean(own[system].get(strength, [math.nan]))) for strength in STRENGTHS)]
                style = "--" if system in BASELINES else "-"
                panel.plot(range(len(means)), means, style, color=colours(place % 10), marker="o", markersize=3)
        panel.set_title(kind, fontsize="small")
        panel.set_xticks(range(len(STRENGTHS) + 1))
        panel.grid(alpha=0.25)
    for panel in panels[len(points) :]:
        panel.set_axis_off()
    for place, system in enumerate(systems):
        style = "--" if system in BASELINES else "-"
        panels[0].plot([], [], style, color=colours(place % 10), marker="o", markersize=3, label=system)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", fontsize="small")
    figure.supxlabel("strength of the damage", fontsize="medium")
    figure.supylabel("share kept of VIF and Qabf", fontsize="medium")
    with written_beside(path) as beside:
        figure.savefig(beside, format="png", dpi=DOTS_PER_INCH)


def save_worst(folder: Path, rows: Sequence[DamageRow], datasets: Sequence[Dataset], systems: Sequence[System]) -> None:
    """The damaged pairs of which the first system keeps least, each kind once: both sources, the rule, and the
    system without and with the damage."""
    first = next((system for system in systems if isinstance(system, LiveSystem)), None)
    if first is None:
        return
    folder.mkdir(exist_ok=True)
    rule = next(system for system in BASELINE_SYSTEMS if system.name == RULE)
    pairs = {(dataset.name, pair.name): pair for dataset in datasets for pair in dataset.pairs}
    ranked = sorted(
        (row for row in shares_kept(rows) if row.system == first.name and not math.isnan(row.values[SHARE])),
        key=lambda row: (row.values[SHARE], row_key(row)),
    )
    worst = list({row.kind: row for row in reversed(ranked)}.values())
    worst.sort(key=lambda row: row.values[SHARE])
    for place, row in enumerate(worst[:WORST], start=1):
        pair = pairs[row.dataset, row.pair]
        shown: dict[str, Image.Image] = {}
        for kind, strength, images in damaged_images(row.dataset, row.pair, read_sources(pair), [row.kind]):
            of_first = fuse_damaged(first, row.dataset, pair, kind, strength, images)
            if kind == UNDAMAGED:
                shown[f"{first.name}, undamaged"] = of_first
            elif strength == row.strength:
                of_rule = fuse_damaged(rule, row.dataset, pair, kind, strength, images)
                shown = {
                    **{
                        f"{modality}, {damage_name(kind, strength)}"
                        if modality == DAMAGES[kind].hits
                        else modality: image
                        for modality, image in zip(SOURCES, images)
                    },
                    **shown,
                    f"{first.name}, {row.values[SHARE]:.2f} kept": of_first,
                    RULE: of_rule,
                }
        write_image(
            side_by_side(shown), folder / f"{place}-{row.dataset}-{row.pair}-{damage_name(row.kind, row.strength)}.png"
        )
