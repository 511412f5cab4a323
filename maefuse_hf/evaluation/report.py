# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""The report of an evaluation: one HTML file that needs nothing beside it."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from PIL import Image

from ..visualization.zoom import CHOICE_OF_PATCH
from .baselines import SOURCES_ALONE
from .plots import plot_metric
from .runner import Row
from .summary import LOWER_IS_BETTER, RANKING, Summaries, facts, metric_names, metrics_table, pairs_measured
from .table import as_html

LONGEST_SIDE = 960
JPEG_QUALITY = 90

STYLE = """
:root { color-scheme: light dark;
  --ink: #1c1e21; --quiet: #5d646c; --ground: #ffffff; --line: #d9dde2; --mark: #fbe7d9 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8ea; --quiet: #9aa2ab; --ground: #15171a; --line: #343a41; --mark: #4a2c19 }
  .plots img { filter: invert(1) hue-rotate(180deg) }
}
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1rem; max-width: 75rem; background: var(--ground); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif }
h1 { font-size: 1.6rem } h2 { font-size: 1.25rem; margin-top: 2.5rem } h3 { font-size: 1rem }
h1, h2, h3 { line-height: 1.25 }
p, li, dd, dt { overflow-wrap: anywhere }
dl { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: .2rem 1rem; font-size: .9rem }
dt { color: var(--quiet) } dd { margin: 0 }
.quiet { color: var(--quiet); font-size: .9rem }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums }
th, td { padding: .35rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap }
th:first-child { text-align: left; position: sticky; left: 0; background: var(--ground) }
td small { display: block; color: var(--quiet); font-size: .75rem }
td.best { background: var(--mark); font-weight: 600 } td.best small { font-weight: 400 }
.plots, .row { display: grid; gap: 1rem }
.plots { grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)) }
.row { grid-template-columns: repeat(auto-fit, minmax(min(100%, 15rem), 1fr)) }
figure { margin: 0 } figcaption { color: var(--quiet); font-size: .9rem }
img { display: block; width: 100%; height: auto }
.problems { border-left: 4px solid #c8501e; padding-left: 1rem }
"""


@dataclass(frozen=True)
class Example:
    """A pair worth a look: images with their patch by caption."""

    dataset: str
    pair: str
    label: str
    system: str
    images: dict[str, Image.Image]


def report(
    rows: Sequence[Row],
    summaries: Summaries,
    about: Mapping[str, Any],
    problems: Sequence[str],
    examples: Sequence[Example],
) -> str:
    """The whole page: what was measured and how, problems, tables, images, plots.

    Args:
        rows, summaries, about, problems: of an evaluation.
        examples: images to show, in the order of the page.
    """
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Fusion metrics: {escape(', '.join(summaries))}</title><style>{STYLE}</style></head><body>",
        "<h1>Fusion metrics</h1>",
        "<dl>",
        *(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts(about).items()),
        "</dl>",
    ]
    if problems:
        parts += [
            f'<section class="problems"><h2>Problems ({len(problems)})</h2><ul>',
            *(f"<li>{escape(problem)}</li>" for problem in problems),
            "</ul></section>",
        ]
    for dataset, systems in summaries.items():
        parts += [
            f"<h2>{escape(dataset)} ({pairs_measured(systems)} pairs)</h2>",
            f'<div class="scroll">{as_html(metrics_table(systems))}</div>',
        ]
    lower, sources = (" and ".join(sorted(names)) for names in (LOWER_IS_BETTER, SOURCES_ALONE))
    parts.append(
        f'<p class="quiet">Marked: the best mean of each column, the lowest for {lower}; {sources} do not compete. '
        "In brackets: the interval of the mean.</p>"
    )
    if examples:
        parts.append("<h2>Best, median and worst pairs</h2>")
        parts.append(
            f'<p class="quiet">Of {escape(examples[0].system)}; {RANKING}. Below each image a patch of it, '
            f"enlarged: {CHOICE_OF_PATCH}.</p>"
        )
        parts += [example_row(example) for example in examples]
    parts.append('<h2>Distributions</h2><p class="quiet">A dot is a pair; the box holds the middle half.</p>')
    parts.append('<div class="plots">')
    for metric in metric_names(rows):
        plot = data_uri(plot_metric(rows, metric), "png")
        parts.append(f'<figure><img alt="{escape(metric)} by system" src="{plot}"></figure>')
    parts.append("</div></body></html>\n")
    return "\n".join(parts)


def example_row(example: Example) -> str:
    """The images of one pair, side by side where there is room."""
    figures = (
        f'<figure><img alt="{escape(caption)} of {escape(example.pair)}" src="{image_uri(image)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for caption, image in example.images.items()
    )
    title = f"{escape(example.dataset)}, {escape(example.label)}: {escape(example.pair)}"
    return f'<h3>{title}</h3><div class="row">{"".join(figures)}</div>'


def image_uri(image: Image.Image) -> str:
    """An image as a JPEG in a data URI, made smaller if it is larger than a screen shows."""
    smaller = image.convert("RGB")
    smaller.thumbnail((LONGEST_SIDE, 2 * LONGEST_SIDE))
    file = io.BytesIO()
    smaller.save(file, format="JPEG", quality=JPEG_QUALITY, subsampling=0)
    return data_uri(file.getvalue(), "jpeg")


def data_uri(content: bytes, kind: str) -> str:
    """An image file within the page."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
