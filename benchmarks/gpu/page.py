"""What `gpu.json` holds, as tables between the marks of docs/gpu.md."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from benchmarks.gpu.cases import FLOAT32, Row
from benchmarks.marked_block import replace_block
from benchmarks.training_cost import Cost, cost_table
from maefuse_hf.evaluation import as_markdown, table_of
from maefuse_hf.evaluation.summary import NO_VALUE

NOT_RUN = "Not run."


def about(content: Mapping[str, Any]) -> str:
    """Where and when."""
    own = content["about"]
    return (
        f"{own['device']}, {own['processors']} CPU threads, PyTorch {own['torch']}, CUDA {own['cuda'] or NO_VALUE}, "
        f"transformers {own['transformers']}, {own['date']}: `{own['command']}`. Pairs of {own['size']} pixels. "
        f"Medians of {own['rounds']} rounds, after {own['warm up']} that do not count."
    )


def inference(rows: Sequence[Row]) -> str:
    """Calls of the model by precision and batch, and pairs from images to image."""
    rates = {row["precision"]: row["operations a second"] for row in rows if "operations a second" in row}
    operations = {row["model"]: row["operations"] for row in rows if "operations" in row}
    forward = [row for row in rows if "batch" in row]
    whole = [row for row in rows if "pair" in row]
    head = ["model", "precision", "batch", "pairs/s", "of the device's rate", "memory", "grey levels, mean", "most"]
    table = [
        [
            *plain(row, "model", "precision", "batch"),
            pairs_a_second(row),
            share(row, rates, operations),
            *memory(row),
            *levels(row),
        ]
        for row in forward
    ]
    products = ", ".join(f"{precision} {rate / 1e12:.1f}" for precision, rate in rates.items())
    counted = ", ".join(f"{model} {count / 1e9:.1f}" for model, count in operations.items())
    texts = [f"Matrix products in TFLOP/s: {products}. GFLOP a pair: {counted}.", as_markdown(table_of(head, table))]
    if whole:
        texts.append(
            as_markdown(
                table_of(
                    ["model", "precision", "from images to image in ms", "pairs/s"],
                    [
                        [*plain(row, "model", "precision"), f"{1000 * row['pair']:.1f}", f"{1 / row['pair']:.1f}"]
                        for row in whole
                    ],
                )
            )
        )
    return "\n\n".join(texts)


def plain(row: Row, *names: str) -> list[str]:
    """Values as they are."""
    return [str(row[name]) for name in names]


def pairs_a_second(row: Row) -> str:
    """Of a call of the model."""
    return f"{row['batch'] / row['seconds']:.1f}"


def share(row: Row, rates: Mapping[str, float], operations: Mapping[str, int]) -> str:
    """The model's operations a second over those of a large product in the same precision."""
    if row["model"] not in operations or row["precision"] not in rates:
        return NO_VALUE
    return f"{row['batch'] * operations[row['model']] / row['seconds'] / rates[row['precision']]:.1%}"


def memory(row: Row) -> list[str]:
    """The most that PyTorch had allocated on the device."""
    return [NO_VALUE if row["peak bytes"] is None else f"{row['peak bytes'] / 1e9:.2f} GB"]


def levels(row: Row) -> list[str]:
    """Differences from float32 on the CPU."""
    return [f"{row['levels, mean']:.3f}", f"{row['levels, most']:.0f}"]


def tiles_at_once(rows: Sequence[Row]) -> str:
    """By how many tiles are worked on together."""
    head = ["model", "precision", "batch", "tiles at once", "pairs/s", "memory", "grey levels, mean", "most"]
    table = [
        [*plain(row, "model", "precision", "batch", "tiles at once"), pairs_a_second(row), *memory(row), *levels(row)]
        for row in rows
    ]
    return as_markdown(table_of(head, table))


def converted(rows: Sequence[Row]) -> str:
    """The three ways; ratios to the authors' procedure, the first of each precision."""
    theirs = {row["precision"]: row for row in reversed(rows)}
    head = ["precision", "way"]
    for name in ("network in ms", "images to image in ms"):
        head += [name, "times theirs in float32", "in this precision"]
    table = [
        [
            *plain(row, "precision", "way"),
            *(
                cell
                for kind in ("network", "pair")
                for cell in (
                    f"{1000 * row[kind]:.1f}",
                    times(theirs.get(FLOAT32.name), row, kind),
                    times(theirs[row["precision"]], row, kind),
                )
            ),
        ]
        for row in rows
    ]
    return as_markdown(table_of(head, table))


def times(first: Row | None, row: Row, kind: str) -> str:
    """How much faster than the first; nothing where that was not measured."""
    return NO_VALUE if first is None else f"{first[kind] / row[kind]:.2f}"


def steps(rows: Sequence[Row]) -> str:
    """As `benchmarks/training_cost.py` prints them."""
    names = [field.name for field in fields(Cost)]
    costs = [Cost(**{name: row[name] for name in names}) for row in rows]
    [first, *_] = rows
    return (
        f"{first['model']}, `mfm_fuse`, {first['batch']} pairs of {first['crop']} px:\n\n"
        f"{cost_table(costs, first['batch'])}"
    )


def metrics(rows: Sequence[Row]) -> str:
    """All metrics of an image on the device and on the CPU."""
    table = [
        [f"{1000 * row['seconds']:.1f}", f"{1000 * row['seconds on the CPU']:.1f}", f"{row['difference']:.1e}"]
        for row in rows
    ]
    return as_markdown(table_of(["on the device in ms", "on the CPU in ms", "largest relative difference"], table))


def launches(rows: Sequence[Row]) -> str:
    """Runs that ended as they should."""
    table = [
        [*plain(row, "configuration", "script"), *row["overrides"], f"{row['seconds']:.0f}", row["reached"] or NO_VALUE]
        for row in rows
    ]
    return as_markdown(table_of(["configuration", "script", "precision", "s", "last validation"], table))


def folders(rows: Sequence[Row]) -> str:
    """Pairs a second from files to files."""
    head = ["model", "precision", "workers", "batch", "pairs", "s", "pairs/s"]
    table = [
        [
            *plain(row, "model", "precision", "workers", "batch", "pairs"),
            f"{row['seconds']:.1f}",
            f"{row['pairs'] / row['seconds']:.1f}",
        ]
        for row in rows
    ]
    return as_markdown(table_of(head, table))


def compiled(rows: Sequence[Row]) -> str:
    """With and without `torch.compile`."""
    head = ["model", "precision", "batch", "way", "first call in s", "pairs/s", "memory", "grey levels, mean", "most"]
    table = [
        [
            *plain(row, "model", "precision", "batch", "way"),
            f"{row['first call']:.0f}" if "first call" in row else NO_VALUE,
            pairs_a_second(row),
            *memory(row),
            *levels(row),
        ]
        for row in rows
    ]
    return as_markdown(table_of(head, table))


TABLES: dict[str, Callable[[Sequence[Row]], str]] = {
    "inference": inference,
    "tiles": tiles_at_once,
    "converted": converted,
    "training": steps,
    "metrics": metrics,
    "launch": launches,
    "folders": folders,
    "compiled": compiled,
}
"""By the name of the part."""


def part_text(name: str, content: Mapping[str, Any]) -> str:
    """The table of a part, and what of it was not run or failed."""
    part = content["parts"].get(name)
    if part is None:
        return NOT_RUN
    texts = [TABLES[name](part["rows"])] if part["rows"] else []
    if part["not run"] and not texts and not part["problems"]:
        return f"{NOT_RUN[:-1]}, for want of time."
    if part["not run"]:
        texts.append(f"Not run, for want of time: {'; '.join(part['not run'])}.")
    texts += [f"Failed: {problem['case']} ({problem['error']})." for problem in part["problems"]]
    return "\n\n".join(texts)


def write_document(document: Path, content: Mapping[str, Any]) -> None:
    """Put everything between its marks; a `ValueError` as `replace_block`."""
    replace_block(document, "gpu", about(content))
    for name in TABLES:
        replace_block(document, f"gpu-{name}", part_text(name, content))
