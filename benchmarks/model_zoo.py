"""One table of checkpoints: size, speed, memory and quality, beside the rule, which has no parameters.

    python -m benchmarks.model_zoo --checkpoint DIR … --evaluation OUT … [--downstream FILE.json] -o runs/zoo
    python -m benchmarks.model_zoo … -o runs/zoo --documents README.md docs/model_zoo.md

Size, speed and memory are measured here, all in one run and in turns. Quality comes from what `maefuse evaluate` (OUT,
with `--damage` for the share kept) and `python -m benchmarks.downstream` left, for those very weights: their SHA-256
decides, not their names. `--documents` puts the table between `<!-- zoo -->` and `<!-- /zoo -->`; the model card of
`training/publish.py` takes it from docs/model_zoo.md.
"""

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.marked_block import replace_block
from maefuse_hf import MaeFuseImageProcessor
from maefuse_hf.evaluation import RULE, as_markdown, table_of, weights_sha256
from maefuse_hf.evaluation.rule import rule
from maefuse_hf.evaluation.summary import NO_VALUE
from maefuse_hf.example_scene import render_example_pair
from maefuse_hf.inference import fuse_pair, load_checkpoint

WIDTH, HEIGHT = 640, 480
KIBIBYTES_PER_GIGABYTE = 1e9 / 1024
METRICS = ("VIF matched", "Qabf", "SSIM")
"""Of `metrics.json`: means over its data sets."""
KEPT, PERSON = "kept when damaged", "AP of people"


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


def measure(checkpoints: Sequence[Path], rounds: int) -> list[Entry]:
    """Size, speed and memory of the checkpoints and, last, of the rule."""
    names = [path.resolve().name for path in checkpoints]
    if repeated := {name for name in names if [*names, RULE].count(name) > 1}:
        raise ValueError(f"Two lines of the table would be called {', '.join(sorted(repeated))}; rename a folder.")
    # memory first: a process that is started counts what its parent held
    sources: list[Path | None] = [*checkpoints, None]
    peaks = in_fresh_processes(peak_gigabytes, sources)
    torch.set_num_threads(1)
    systems = [system(source) for source in sources]
    seconds = cpu_seconds([run for _, run in systems], rounds)
    sizes = [sum(path.stat().st_size for path in checkpoint.glob("model*.safetensors")) for checkpoint in checkpoints]
    return [
        Entry(name, parameters, size / 10**6, taken, peak)
        for name, (parameters, _), size, taken, peak in zip([*names, RULE], systems, [*sizes, 0], seconds, peaks)
    ]


def system(source: Path | None) -> tuple[int, Callable[[], object]]:
    """How many parameters a checkpoint has, or the rule for None, and a function that fuses the example pair."""
    infrared, visible = render_example_pair(HEIGHT, WIDTH)
    if source is not None:
        model, processor = load_checkpoint(source, "cpu")
        return model.num_parameters(), lambda: fuse_pair(model, processor, infrared, visible)
    plain = MaeFuseImageProcessor()

    def fuse_by_rule() -> object:
        inputs = plain(infrared=infrared, visible=visible, return_tensors="pt")
        return plain.post_process_image_fusion(rule(inputs["infrared"], inputs["visible"]), inputs)

    return 0, fuse_by_rule


def in_fresh_processes(function: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
    """What a function gives for each value, each in a process of its own that starts from nothing."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as processes:
        return list(tqdm(processes.map(function, values), "memory", len(values)))


def peak_gigabytes(source: Path | None) -> float:
    """The most memory that this process held, after it has fused one pair."""
    torch.set_num_threads(1)
    system(source)[1]()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIBIBYTES_PER_GIGABYTE


def cpu_seconds(runs: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Median CPU time of each, in turns, after one round that does not count."""
    taken: list[list[float]] = [[] for _ in runs]
    for number in tqdm(range(rounds + 1), "speed"):
        for run, values in zip(runs, taken):
            started = time.process_time()
            run()
            if number:
                values.append(time.process_time() - started)
    return [statistics.median(values) for values in taken]


def read_quality(
    checkpoints: Sequence[Path], evaluations: Sequence[Path], downstream: Path | None
) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """What was measured of these weights and of the rule, by name and column; and the digests of the data sets.

    Raises:
        OSError: if a file is missing.
        ValueError: if an evaluation is of other weights than those of every checkpoint, or of other data than the rest.
    """
    digests = {path.resolve().name: weights_sha256(path) for path in checkpoints}
    quality: dict[str, dict[str, float]] = {name: {} for name in (*digests, RULE)}
    data: dict[str, str] = {}
    for folder in evaluations:
        metrics = read(folder / "metrics.json")
        about = metrics["about"]
        name = named(f"{folder / 'metrics.json'}", about.get("weights sha256"), digests)
        if data and about["data sha256"] != data:
            raise ValueError(f"{folder} was measured on other data than the evaluation before it.")
        data = about["data sha256"]
        for ours, theirs in ((name, about["model"]), (RULE, RULE)):
            for metric in METRICS:
                means = [own["systems"][theirs][metric]["mean"] for own in metrics["datasets"].values()]
                quality[ours][metric] = statistics.fmean(means)
        if (folder / "damage.json").is_file():
            damage = read(folder / "damage.json")
            named(f"{folder / 'damage.json'}", damage.get("about", {}).get("weights sha256"), {name: digests[name]})
            for ours, theirs in ((name, about["model"]), (RULE, RULE)):
                quality[ours][KEPT] = damage["share kept"][theirs]["all"]["share kept"]["mean"]
    if downstream is not None:
        checked = read(downstream)
        people = checked["detector"]["person"]["values"]
        for theirs, digest in checked["about"].get("weights sha256", {}).items():
            quality[named(str(downstream), digest, digests)][PERSON] = people[theirs]["value"]
        quality[RULE][PERSON] = people[RULE]["value"]
    return quality, data


def read(path: Path) -> dict[str, Any]:
    """A JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def named(what: str, digest: Mapping[str, str] | None, digests: Mapping[str, Mapping[str, str]]) -> str:
    """The checkpoint that has these weights; a `ValueError` if none has."""
    for name, own in digests.items():
        if digest == own:
            return name
    raise ValueError(f"{what} has the results of other weights than those of {', '.join(digests)}; measure it again.")


def table(entries: Sequence[Entry], data: Mapping[str, str]) -> str:
    """The table as Markdown, with a sentence on how it was measured. The last entry is the rule."""
    base = entries[-1].cpu_seconds
    columns = [column for column in (*METRICS, KEPT, PERSON) if any(column in entry.quality for entry in entries)]
    rows = [
        [
            entry.name,
            f"{entry.parameters / 10**6:.1f} M" if entry.parameters else NO_VALUE,
            f"{entry.megabytes:.1f}" if entry.megabytes else NO_VALUE,
            f"{entry.cpu_seconds / base:.0f}",
            f"{entry.peak_gigabytes:.2f} GB",
            *(f"{entry.quality[column]:.3f}" if column in entry.quality else NO_VALUE for column in columns),
        ]
        for entry in entries
    ]
    shown = as_markdown(table_of(["checkpoint", "parameters", "MB", "CPU time", "memory", *columns], rows))
    where = f" Quality: means over {', '.join(data)}." if data else ""
    return (
        f"{shown}\n\nCPU time of one thread for a {WIDTH}×{HEIGHT} pair in multiples of the rule's, and the most "
        f"memory of the whole process.{where} Made by `python -m benchmarks.model_zoo`.\n"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Make the table of checkpoints.")
    parser.add_argument("--checkpoint", type=Path, nargs="+", required=True, metavar="DIR", help="checkpoint folders")
    parser.add_argument("--evaluation", type=Path, nargs="+", default=[], metavar="OUT", help="of `maefuse evaluate`")
    parser.add_argument("--downstream", type=Path, metavar="JSON", help="downstream.json of `benchmarks.downstream`")
    parser.add_argument("--rounds", type=int, default=5, help="how often each fuses the pair")
    parser.add_argument("--documents", type=Path, nargs="+", default=[], metavar="FILE", help="where the table goes")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder to write to")
    options = parser.parse_args(arguments)
    try:
        quality, data = read_quality(options.checkpoint, options.evaluation, options.downstream)
        entries = [
            Entry(**{**asdict(entry), "quality": quality[entry.name]})
            for entry in measure(options.checkpoint, options.rounds)
        ]
        options.output.mkdir(parents=True, exist_ok=True)
        content = {"torch": torch.__version__, "data sha256": data, "entries": [asdict(entry) for entry in entries]}
        (options.output / "model_zoo.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        text = table(entries, data)
        (options.output / "model_zoo.md").write_text(text, encoding="utf-8")
        for document in options.documents:
            replace_block(document, "zoo", f"\n{text}")
    except (OSError, ValueError) as error:
        print(f"model_zoo: {error}", file=sys.stderr)
        return 1
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
