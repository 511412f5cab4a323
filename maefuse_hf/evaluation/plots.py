# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""A plot for each metric: how its values are distributed over the pairs, by system."""

import importlib.util
import io
import math
from collections.abc import Sequence

from .baselines import BASELINES
from .runner import Row
from .summary import LOWER_IS_BETTER, system_names

WIDTH, HEIGHT_OF_A_SYSTEM, HEIGHT_AROUND = 6.4, 0.32, 0.75
DOTS_PER_INCH = 130
COLOURS = {True: "#7f8c9b", False: "#c8501e"}
"""Of systems by whether they are a baseline; of a lightness that can be read on white and, inverted, on black."""


def require_matplotlib() -> None:
    """Raise an `OSError` that says what to install where there is no matplotlib."""
    if importlib.util.find_spec("matplotlib") is None:
        raise OSError(
            'The report\'s plots need matplotlib, which is not installed. Run pip install "maefuse-hf[evaluate]".'
        )


def plot_metric(rows: Sequence[Row], metric: str) -> bytes:
    """Boxes (quartiles; whiskers to the last value within 1.5 of their distance) over the values of all pairs.

    Args:
        rows: of one or several data sets, each of which gets a panel.
        metric: which of their values; undefined and infinite ones are left out.

    Returns:
        a PNG file, black on a transparent ground.
    """
    from matplotlib.figure import Figure

    values: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        if math.isfinite(value := row.values.get(metric, math.nan)):
            values.setdefault(row.dataset, {}).setdefault(row.system, []).append(value)
    order = system_names(rows)
    panels = {
        dataset: {name: systems[name] for name in order if name in systems} for dataset, systems in values.items()
    }
    heights = [HEIGHT_AROUND + HEIGHT_OF_A_SYSTEM * len(systems) for systems in panels.values()]
    figure = Figure(figsize=(WIDTH, sum(heights) or HEIGHT_AROUND), layout="constrained")
    grid = figure.subplots(max(1, len(panels)), squeeze=False, height_ratios=heights or None)[:, 0]
    for axes, (dataset, systems) in zip(grid, panels.items()):
        places = range(len(systems), 0, -1)
        for place, (name, own) in zip(places, systems.items()):
            colour = COLOURS[name in BASELINES]
            axes.plot(own, [place] * len(own), "o", color=colour, markersize=3.5, alpha=0.35, markeredgewidth=0)
            axes.boxplot(
                [own],
                positions=[place],
                orientation="horizontal",
                widths=0.55,
                showfliers=False,
                boxprops={"color": colour},
                whiskerprops={"color": colour},
                capprops={"color": colour},
                medianprops={"color": colour, "linewidth": 2.5},
                manage_ticks=False,
            )
        axes.set_yticks(places, list(systems))
        axes.set_title(dataset, loc="left", fontsize="medium")
        axes.tick_params(left=False)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.grid(axis="x", alpha=0.25)
    if not panels:
        grid[0].set_axis_off()
        grid[0].text(0, 0.5, "no pair has a value")
    better = "lower" if metric in LOWER_IS_BETTER else "higher"
    figure.supxlabel(f"{metric} ({better} is better)", fontsize="medium")
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DOTS_PER_INCH, transparent=True)
    return file.getvalue()
