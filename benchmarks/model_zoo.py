"""One table of checkpoints and exported files: size, speed, memory, quality, beside the rule without parameters.

    python -m benchmarks.model_zoo --checkpoint DIR … [--onnx NAME=FILE …] --evaluation OUT … --downstream JSON … \\
        --documents docs/model_zoo.md --short README.md -o runs/zoo

Size, speed and memory are measured here, all in one run and in turns. Quality comes from what `maefuse evaluate` (OUT,
with `--damage` for the share kept) and `python -m benchmarks.downstream` left, for those very weights: their SHA-256
decides, not their names. `--documents` puts the whole table between `<!-- zoo -->` and `<!-- /zoo -->`; `--short` puts
the checkpoints alone, with fewer columns, between `<!-- checkpoints -->` and `<!-- /checkpoints -->`. The model card of
`training/publish.py` takes the latter from README.md.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.marked_block import replace_block
from benchmarks.results import read_json
from benchmarks.timing import in_turns, medians
from benchmarks.zoo_systems import HEIGHT, WIDTH, Checkpoint, OnnxFile, PixelRule, ZooSystem
from maefuse_hf.evaluation import RULE, as_markdown, table_of
from maefuse_hf.evaluation.summary import NO_VALUE, RANKING_METRICS

METRICS = ("VIF matched", *RANKING_METRICS)
"""Of `metrics.json`: means over its data sets."""
KEPT = "kept when damaged"
DETECTED = {"AP of people": "person", "AP of cars": "car"}
"""Columns of `downstream.json`'s detector."""
COLUMNS = (*METRICS, KEPT, *DETECTED)
SHORT_COLUMNS = ("VIF matched", "Qabf", "SSIM", KEPT, "AP of people")
AGREEMENT = 5e-4
"""How far two files' values of one system may lie apart: half of the last digit that is shown."""


@dataclass(frozen=True)
class Entry:
    """A line of the table."""

    name: str
    parameters: int
    megabytes: float
    """Size of the weight files."""
    cpu_seconds: float
    """Median CPU time of one thread, from two images to one."""
    peak_gigabytes: float
    """The most memory that a process held which fused one pair, Python and its libraries included."""
    quality: dict[str, float] = field(default_factory=dict)


def measure(systems: Sequence[ZooSystem], rounds: int) -> list[Entry]:
    """Size, speed and memory of each."""
    names = [system.name for system in systems]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise ValueError(
            f"Two lines of the table would be called {', '.join(sorted(repeated))}; rename a folder, or give an ONNX "
            "file another NAME=."
        )
    peaks = in_fresh_processes(peak_gigabytes, systems)
    torch.set_num_threads(1)
    loaded = [system.loaded() for system in systems]
    seconds = cpu_seconds([fuse for _, fuse in loaded], rounds)
    return [
        Entry(system.name, parameters, system.megabytes, taken, peak)
        for system, (parameters, _), taken, peak in zip(systems, loaded, seconds, peaks)
    ]


def in_fresh_processes(function: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
    """What a function gives for each value, each in a process of its own that starts from nothing."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as processes:
        return list(tqdm(processes.map(function, values), "memory", len(values)))


def peak_gigabytes(system: ZooSystem) -> float:
    """The most memory of a process that fuses one pair with the system."""
    return system.peak_gigabytes()


def cpu_seconds(runs: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Median CPU time of each, in turns, after one round that does not count."""
    taken = in_turns(dict(enumerate(runs)), rounds, warm_up=1, clock=time.process_time, progress="speed")
    return list(medians(taken).values())


def read_quality(
    systems: Sequence[ZooSystem], evaluations: Sequence[Path], downstreams: Sequence[Path]
) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """What was measured of these weights and of the rule, by name and column; and the digests of the data sets.

    Raises:
        OSError: if a file is missing.
        ValueError: if a file is of other weights than those of every system, an evaluation of other data than the
            rest, or two files disagree about one system.
    """
    digests = {system.name: own for system in systems if (own := system.digests)}
    quality: dict[str, dict[str, float]] = {name: {} for name in (*digests, RULE)}
    data: dict[str, str] = {}
    for folder in evaluations:
        file = folder / "metrics.json"
        metrics = read_json(file)
        about = metrics["about"]
        measured = measured_systems(file, about, digests)
        if data and about["data sha256"] != data:
            raise ValueError(f"{folder} was measured on other data than the evaluation before it.")
        data = about["data sha256"]
        for ours, theirs in [*measured.items(), (RULE, RULE)]:
            for metric in METRICS:
                note(quality, ours, metric, mean_over_data_sets(file, metrics["datasets"], theirs, metric), file)
        file = folder / "damage.json"
        if file.is_file():
            damage = read_json(file)
            here = {name: digests[name] for name in measured}
            for ours, theirs in [*measured_systems(file, damage.get("about", {}), here).items(), (RULE, RULE)]:
                note(quality, ours, KEPT, damage["share kept"][theirs]["all"]["share kept"]["mean"], file)
    for file in downstreams:
        checked = read_json(file)
        weights = checked["about"].get("weights sha256", {})
        found = {named(file, digest.values(), digests): theirs for theirs, digest in weights.items()}
        for ours, theirs in [*found.items(), (RULE, RULE)]:
            for column, detected in DETECTED.items():
                note(quality, ours, column, checked["detector"][detected]["values"][theirs]["value"], file)
    return quality, data


def measured_systems(file: Path, about: Mapping[str, Any], digests: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Which of the systems an evaluation measured, and how it calls them; a `ValueError` if it has another one's."""
    exports = about.get("onnx sha256", {})
    found = {named(file, [digest], digests): theirs for theirs, digest in exports.items()}
    if "model" in about or not exports:
        found[named(file, about.get("weights sha256", {}).values(), digests)] = about["model"]
    return found


def named(file: Path, measured: Iterable[str], digests: Mapping[str, Sequence[str]]) -> str:
    """The system whose weight files have these digests; a `ValueError` if none has."""
    wanted = sorted(measured)
    for name, own in digests.items():
        if wanted == own:
            return name
    raise ValueError(f"{file} has the results of other weights than those of {', '.join(digests)}; measure it again.")


def mean_over_data_sets(file: Path, datasets: Mapping[str, Any], system: str, metric: str) -> float | None:
    """The mean of a system's means; None where a data set has none.

    Raises:
        ValueError: if the system could be measured on no pair of a data set.
    """
    if lacking := [name for name, own in datasets.items() if system not in own["systems"]]:
        raise ValueError(f"{file} has no values of {system} on {', '.join(lacking)}; see its problems in metrics.md.")
    means = [own["systems"][system][metric]["mean"] for own in datasets.values()]
    return None if None in means else statistics.fmean(means)


def note(quality: dict[str, dict[str, float]], name: str, column: str, value: float | None, file: Path) -> None:
    """Write a value down, if there is one; a `ValueError` if another file has another one.

    The rule is in every file: where its values differ, the files were not measured in one way.
    """
    if value is None:
        return
    before = quality[name].setdefault(column, value)
    if abs(before - value) > AGREEMENT:
        raise ValueError(
            f"{file} says {value:.3f} of {name}, {column}, where a file before it says {before:.3f}: they were not "
            "measured in one way. Measure both again, on the same pairs and with the same options."
        )


def table(entries: Sequence[Entry], data: Mapping[str, str], columns: Sequence[str], about_memory: str = "") -> str:
    """The table as Markdown, with a sentence on how it was measured. The last entry is the rule.

    Args:
        entries: the lines.
        data: by the names of the data sets.
        columns: of quality; those that no entry has are left out.
        about_memory: what the sentence says of memory beyond the rest.
    """
    base = entries[-1].cpu_seconds
    shown = [column for column in columns if any(column in entry.quality for entry in entries)]
    rows = [
        [
            entry.name,
            f"{entry.parameters / 10**6:.1f} M" if entry.parameters else NO_VALUE,
            f"{entry.megabytes:.1f}" if entry.megabytes else NO_VALUE,
            f"{entry.cpu_seconds / base:.0f}",
            f"{entry.peak_gigabytes:.2f} GB",
            *(f"{entry.quality[column]:.3f}" if column in entry.quality else NO_VALUE for column in shown),
        ]
        for entry in entries
    ]
    where = f" Quality: means over {', '.join(data)}." if data else ""
    return (
        f"{as_markdown(table_of(['checkpoint', 'parameters', 'MB', 'CPU time', 'memory', *shown], rows))}\n\n"
        f"CPU time of one thread for a {WIDTH}×{HEIGHT} pair in multiples of the rule's, and the most memory of the "
        f"whole process{about_memory}.{where} Made by `python -m benchmarks.model_zoo`.\n"
    )


def whole_table(entries: Sequence[Entry], data: Mapping[str, str], exports: Collection[str]) -> str:
    """All lines and columns; `exports` are the names of the ONNX files."""
    return table(entries, data, COLUMNS, " (that of an ONNX file has no PyTorch)" if exports else "")


def short_table(entries: Sequence[Entry], data: Mapping[str, str], exports: Collection[str]) -> str:
    """The checkpoints and the rule, with `SHORT_COLUMNS`."""
    return table([entry for entry in entries if entry.name not in exports], data, SHORT_COLUMNS)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description="Make the table of checkpoints and exported files.")
    parser.add_argument("--checkpoint", type=Path, nargs="+", required=True, metavar="DIR", help="checkpoint folders")
    parser.add_argument(
        "--onnx", type=onnx_file, nargs="+", default=[], metavar="NAME=FILE", help="files of `maefuse export onnx`"
    )
    parser.add_argument("--evaluation", type=Path, nargs="+", default=[], metavar="OUT", help="of `maefuse evaluate`")
    parser.add_argument(
        "--downstream", type=Path, nargs="+", default=[], metavar="JSON", help="downstream.json of `downstream`"
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often each fuses the pair")
    parser.add_argument("--documents", type=Path, nargs="+", default=[], metavar="FILE", help="get the whole table")
    parser.add_argument("--short", type=Path, nargs="+", default=[], metavar="FILE", help="get the short table")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder to write to")
    return parser.parse_args(arguments)


def onnx_file(argument: str) -> OnnxFile:
    """NAME=FILE."""
    name, equals, path = argument.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"{argument} is no NAME=FILE; give it like small-int8=onnx/model_int8.onnx")
    return OnnxFile(name, Path(path))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = parse(arguments)
    systems: list[ZooSystem] = [*map(Checkpoint, options.checkpoint), *options.onnx, PixelRule()]
    exports = [system.name for system in options.onnx]
    try:
        quality, data = read_quality(systems, options.evaluation, options.downstream)
        entries = [replace(entry, quality=quality[entry.name]) for entry in measure(systems, options.rounds)]
        options.output.mkdir(parents=True, exist_ok=True)
        content = {"torch": torch.__version__, "data sha256": data, "entries": [asdict(entry) for entry in entries]}
        (options.output / "model_zoo.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        text = whole_table(entries, data, exports)
        (options.output / "model_zoo.md").write_text(text, encoding="utf-8")
        for document in options.documents:
            replace_block(document, "zoo", f"\n{text}")
        for document in options.short:
            replace_block(document, "checkpoints", f"\n{short_table(entries, data, exports)}")
    except (OSError, ValueError) as error:
        print(f"model_zoo: {error}", file=sys.stderr)
        return 1
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
