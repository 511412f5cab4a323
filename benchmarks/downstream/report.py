"""Which differences are real, in words and as a plot."""

from collections.abc import Mapping
from pathlib import Path

from .bootstrap import Interval

Columns = Mapping[str, tuple[Mapping[str, Interval], Mapping[str, Interval]]]
"""By title: values by system, and differences to the reference by system."""

PANELS_A_ROW = 4
DOTS_PER_INCH = 130
COLOURS = {True: "#c8501e", False: "#7f8c9b"}


def compared(columns: Columns, reference: str) -> str:
    """A line for each column: where the reference really loses, where it really wins, and what cannot be told."""
    lines = []
    for title, (_, differences) in columns.items():
        real = {system: own for system, own in differences.items() if own.excludes_zero}
        above = [system for system, own in real.items() if own.value > 0]
        below = [system for system, own in real.items() if own.value < 0]
        open_ = [system for system in differences if system not in real]
        parts = [
            f"loses to {', '.join(above)}" if above else "loses to none",
            f"wins over {', '.join(below)}" if below else "wins over none",
            f"not told apart from {', '.join(open_)}" if open_ else "",
        ]
        lines.append(f"- {title}: {reference} {'; '.join(part for part in parts if part)}.")
    return "\n".join(lines)


def plot_columns(columns: Columns, path: Path) -> None:
    """Value and interval of each system, a panel for each column, the reference in another colour. A PNG on white."""
    from matplotlib.figure import Figure

    rows = -(-len(columns) // PANELS_A_ROW)
    systems = list(dict.fromkeys(system for values, _ in columns.values() for system in values))
    figure = Figure(figsize=(2.6 * PANELS_A_ROW + 1.5, (0.8 + 0.22 * len(systems)) * rows), layout="constrained")
    panels = figure.subplots(rows, PANELS_A_ROW, squeeze=False, sharey=True).flatten()
    places = {system: -number for number, system in enumerate(systems)}
    for panel, (title, (values, differences)) in zip(panels, columns.items()):
        for system, own in values.items():
            colour = COLOURS[system not in differences]
            panel.plot([100 * own.low, 100 * own.high], [places[system]] * 2, color=colour, linewidth=2, alpha=0.6)
            panel.plot(100 * own.value, places[system], "o", color=colour, markersize=5)
        panel.set_title(title, fontsize="small")
        panel.grid(axis="x", alpha=0.25)
        panel.set_yticks(list(places.values()), list(places))
    for panel in panels[len(columns) :]:
        panel.set_axis_off()
    figure.supxlabel("percent, with 95 % intervals", fontsize="medium")
    figure.savefig(path, dpi=DOTS_PER_INCH)
