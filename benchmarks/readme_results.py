"""Remake the README's block of results, from the files that docs/results.md is made from (`benchmarks/results.py`).

python -m benchmarks.readme_results --evaluation OUT --downstream FILE.json [README.md]
"""

import argparse
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.results import NO_DOWNSTREAM, Measured, mean, number, read_measured
from maefuse_hf.evaluation.baselines import SOURCES_ALONE
from maefuse_hf.evaluation.damage import DAMAGES
from maefuse_hf.evaluation.robustness import SHARE
from maefuse_hf.evaluation.robustness_report import ALL_KINDS
from maefuse_hf.evaluation.table import Cell, as_markdown, table_of

BLOCK = re.compile(r"(<!-- results -->\n).*?(<!-- /results -->)", re.DOTALL)
COLUMNS = {
    "people": ("detector", "person"),
    "people by night": ("detector", "person by night"),
    "cars": ("detector", "car"),
    "mIoU": ("segmenter", "mIoU"),
}
METRICS = ("VIF", "Qabf")


def of_use(own: Measured) -> str:
    """Detector, segmenter, damage, and `METRICS` over all data sets, a row for each system that has images here."""
    detected = own.downstream["detector"].get("person", NO_DOWNSTREAM)["values"]
    systems = [own.ours, *own.kept, *detected]
    rows: list[list[Cell | str]] = []
    for system in dict.fromkeys(systems):
        cells: list[Cell | str] = [Cell(system, best=system == own.ours)]
        for part, name in COLUMNS.values():
            column = own.downstream[part].get(name, NO_DOWNSTREAM)
            value, difference = (column[key].get(system) for key in ("values", "differences"))
            real = "*" if difference is not None and difference["real"] else ""
            cells.append(number(math.nan) if value is None else f"{100 * value['value']:.1f}{real}")
        cells.append(number(own.kept.get(system, {}).get(ALL_KINDS, {}).get(SHARE, math.nan), 2))
        sets = [means[system] for means in own.metrics.values() if system in means]
        cells += [number(mean(values.get(metric, math.nan) for values in sets)) for metric in METRICS]
        rows.append(cells)
    return as_markdown(table_of(["system", *COLUMNS, SHARE, *METRICS], rows))


def by_kind(own: Measured) -> str:
    """The share kept under each kind of damage, a row for each kind."""
    systems = [own.ours, *(name for name in own.kept if name != own.ours and name not in SOURCES_ALONE)]
    kinds = [kind for kind in DAMAGES if kind in own.kept[own.ours]]
    rows: list[list[Cell | str]] = [
        [Cell(system, best=system == own.ours), *(number(own.kept[system][kind][SHARE], 2) for kind in kinds)]
        for system in systems
    ]
    return as_markdown(table_of(["system", *kinds], rows))


def readme_block(own: Measured) -> str:
    """What stands between the marks `<!-- results -->` and `<!-- /results -->`."""
    about = own.downstream["about"]
    sets = ", ".join(own.metrics)
    return "\n\n".join(
        [
            f"What the images are good for. People and cars: AP of a fixed detector on {about['test pairs']} labelled "
            f"pairs, in percent. mIoU: a small segmenter that is trained on each system's images, {about['seeds']} "
            f"seeds. * is a real difference to {own.ours}. {SHARE.capitalize()}: of VIF and Qabf under "
            f"{len(own.kept[own.ours]) - 1} kinds of damage to one image, {own.damaged_pairs} pairs, both against the "
            f"undamaged sources. VIF, Qabf: undamaged, mean of {sets}. No pair had a part in training. The formulas "
            "(average, maximum, rule) cost nothing:",
            of_use(own),
            "The share kept, by the kind of damage:",
            by_kind(own),
        ]
    )


def write_readme(own: Measured, path: Path) -> None:
    """Put the block into a document.

    Raises:
        ValueError: without the marks, or with more than one pair of them.
    """
    text = path.read_text(encoding="utf-8")
    found = len(BLOCK.findall(text))
    if found != 1:
        marks = "the marks <!-- results --> and <!-- /results -->"
        raise ValueError(f"{path} needs {marks} once; it has them {found} times.")
    path.write_text(BLOCK.sub(lambda block: f"{block[1]}{readme_block(own)}\n{block[2]}", text), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Remake the README's block of results.")
    parser.add_argument("--evaluation", type=Path, required=True, help="folder of maefuse evaluate --damage")
    parser.add_argument("--downstream", type=Path, required=True, help="downstream.json")
    parser.add_argument("document", type=Path, nargs="?", default=Path("README.md"), help="with the marks")
    options = parser.parse_args(arguments)
    write_readme(read_measured(options.evaluation, options.downstream, None), options.document)
    return 0


if __name__ == "__main__":
    sys.exit(main())
