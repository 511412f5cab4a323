"""Remake the README's block of results, from the files that docs/results.md is made from (`benchmarks/results.py`).

python -m benchmarks.readme_results --evaluation OUT … --downstream FILE.json [README.md]
"""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.marked_block import replace_block
from benchmarks.results import (
    DOWNSTREAM_COLUMNS,
    NO_DOWNSTREAM,
    Measured,
    downstream_columns,
    mean,
    number,
    read_measured,
)
from maefuse_hf.evaluation.baselines import SOURCES_ALONE
from maefuse_hf.evaluation.robustness import SHARE
from maefuse_hf.evaluation.robustness_report import ALL_KINDS
from maefuse_hf.evaluation.table import Cell, as_markdown, table_of

COLUMNS = {title: column for title, column in DOWNSTREAM_COLUMNS.items() if title != "mIoU by night"}
METRICS = ("VIF", "Qabf")
GROUPS = {
    "noise, stripes, dead pixels": ("infrared-noise", "infrared-stripes", "dead-pixels", "visible-noise"),
    "missing infrared": ("infrared-partial", "dead-blocks"),
    "coarse, blurred or JPEG": ("infrared-coarse", "infrared-blur", "infrared-jpeg", "visible-blur", "visible-jpeg"),
    "off register": ("off-register",),
    "black-hot": ("black-hot",),
    "low light": ("low-light",),
    "glare, over-exposure": ("glare", "over-exposure"),
    "haze, smoke": ("haze", "smoke"),
}
"""Kinds of damage as the README puts them together."""


def of_use(own: Measured) -> str:
    """Detector, segmenter, damage, and `METRICS` over all data sets, a row for each system that has images here."""
    detected = own.downstream["detector"].get("person", NO_DOWNSTREAM)["values"]
    systems, columns = [own.ours, *own.kept, *detected], downstream_columns(own, COLUMNS)
    rows: list[list[Cell | str]] = []
    for system in dict.fromkeys(systems):
        cells: list[Cell | str] = [Cell(system, best=system == own.ours)]
        for column in columns.values():
            value, difference = (column[key].get(system) for key in ("values", "differences"))
            real = "*" if difference is not None and difference["real"] else ""
            cells.append(number(math.nan) if value is None else f"{100 * value['value']:.1f}{real}")
        cells.append(number(own.kept.get(system, {}).get(ALL_KINDS, {}).get(SHARE, math.nan), 2))
        sets = [means[system] for means in own.metrics.values() if system in means]
        cells += [number(mean(values.get(metric, math.nan) for values in sets)) for metric in METRICS]
        rows.append(cells)
    return as_markdown(table_of(["system", *columns, SHARE, *METRICS], rows))


def by_group(own: Measured) -> str:
    """The share kept, mean over the kinds of each group, a row for each system that is no source alone."""
    systems = [own.ours, *(name for name in own.kept if name != own.ours and name not in SOURCES_ALONE)]
    rows: list[list[Cell | str]] = []
    for system in systems:
        shares = {kind: metrics[SHARE] for kind, metrics in own.kept[system].items()}
        means = (mean(shares.get(kind, math.nan) for kind in kinds) for kinds in GROUPS.values())
        rows.append([Cell(system, best=system == own.ours), *(number(value, 2) for value in means)])
    return as_markdown(table_of(["system", *GROUPS], rows))


def readme_block(own: Measured) -> str:
    """What stands between the marks `<!-- results -->` and `<!-- /results -->`."""
    about = own.downstream["about"]
    sets = ", ".join(own.metrics)
    segmented = (
        f"mIoU: a small segmenter that is trained on each system's images, {about['seeds']} seeds. "
        if "mIoU" in downstream_columns(own, COLUMNS)
        else ""
    )
    return "\n\n".join(
        [
            f"What the images are good for. People and cars: AP of a fixed detector on {about['test pairs']} labelled "
            f"pairs, in percent. {segmented}* is a real difference to {own.ours}. {SHARE.capitalize()}: of VIF and "
            f"Qabf under {len(own.kept[own.ours]) - 1} kinds of damage to one image, {own.damaged_pairs} pairs, both "
            f"against the undamaged sources. VIF, Qabf: undamaged, mean of {sets}. No pair had a part in training. The "
            "formulas (average, maximum, rule) cost nothing:",
            of_use(own),
            "The share kept, by the kind of damage:",
            by_group(own),
        ]
    )


def write_readme(own: Measured, path: Path) -> None:
    """Put the block into a document; a `ValueError` as `replace_block`."""
    replace_block(path, "results", readme_block(own))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Remake the README's block of results.")
    parser.add_argument("--evaluation", type=Path, nargs="+", required=True, help="of maefuse evaluate --damage")
    parser.add_argument("--downstream", type=Path, required=True, help="downstream.json")
    parser.add_argument("document", type=Path, nargs="?", default=Path("README.md"), help="with the marks")
    options = parser.parse_args(arguments)
    write_readme(read_measured(options.evaluation, options.downstream, None), options.document)
    return 0


if __name__ == "__main__":
    sys.exit(main())
