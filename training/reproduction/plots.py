"""The figures of the report: curves, and images in rows."""

import io
from collections.abc import Mapping, Sequence

from PIL import Image

from training.reproduction.logs import Curve

DOTS_PER_INCH = 120
COLOURS = ("#1f77b4", "#e07b20", "#2f8f4e", "#8a4fb0", "#7f8c9b")
"""Blue is the paper's way and orange what it is held against, as in the paper's Fig. 8."""


def plot_curves(
    panels: Mapping[str, Mapping[str, Sequence[Curve]]], steps_per_epoch: int, border: float | None = None
) -> Image.Image:
    """Curves over epochs, a panel for each quantity.

    Args:
        panels: by title, then by name, the curves of all seeds: each thin, and their mean thick.
        steps_per_epoch: steps that make an epoch.
        border: epoch at which a vertical line parts two stages.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.4 * len(panels), 3.4), layout="constrained")
    for axes, (title, named) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items()):
        for colour, (name, curves) in zip(COLOURS, named.items()):
            for curve in curves:
                axes.plot(*over_epochs(curve, steps_per_epoch), color=colour, linewidth=0.8, alpha=0.45)
            by_step: dict[int, list[float]] = {}
            for curve in curves:
                for step, value in curve:
                    by_step.setdefault(step, []).append(value)
            mean = [(step, sum(values) / len(values)) for step, values in by_step.items() if len(values) == len(curves)]
            axes.plot(*over_epochs(mean, steps_per_epoch), color=colour, linewidth=2.2, marker="o", ms=3, label=name)
        if border is not None:
            axes.axvline(border, color="#999999", linestyle=":", linewidth=1)
        axes.set_title(title, fontsize="medium", loc="left")
        axes.set_xlabel("epoch")
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize="small", frameon=False)
    return as_image(figure)


def over_epochs(curve: Curve, steps_per_epoch: int) -> tuple[list[float], list[float]]:
    """Epochs and values."""
    return [step / steps_per_epoch for step, _ in curve], [value for _, value in curve]


def image_rows(rows: Mapping[str, Mapping[str, Image.Image]], side: float = 1.9) -> Image.Image:
    """Images in named rows, each under its caption, every pixel as a square.

    Args:
        rows: by name of the row, then by caption.
        side: of an image, in inches.
    """
    from matplotlib.figure import Figure

    columns = max(map(len, rows.values()))
    shape = next(iter(next(iter(rows.values())).values()))
    figure = Figure(figsize=(side * columns + 0.4, (side * shape.height / shape.width + 0.3) * len(rows)))
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for line, (name, images) in zip(grid, rows.items()):
        for axes in line:
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
        for axes, (caption, image) in zip(line, images.items()):
            axes.imshow(image.convert("RGB"), interpolation="nearest")
            axes.set_title(caption, fontsize="small")
        line[0].set_ylabel(name, fontsize="small")
    figure.subplots_adjust(left=0.3 / (side * columns + 0.4), right=1, bottom=0.01, wspace=0.03, hspace=0.16)
    return as_image(figure)


def as_image(figure: object) -> Image.Image:
    """A drawn figure, on white."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DOTS_PER_INCH, facecolor="white")  # type: ignore[attr-defined]
    return Image.open(file, formats=["PNG"]).convert("RGB")
