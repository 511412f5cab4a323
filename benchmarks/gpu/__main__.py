"""What the package does on a GPU, in one short run: speed, precision, training, launch configurations.

    python -m benchmarks.gpu -o DIR [--seconds 110] [--only inference …] [--write-docs docs/gpu.md]
    python -m benchmarks.gpu --from DIR --write-docs docs/gpu.md

Parts come in order of importance, each within its share of the time that is left; what there was no time for is
reported as not run. DIR/gpu.json is written after each case, so that a run that is killed keeps what it has. `--from`
writes the document without measuring anew. `--quick` is a toy of everything, to see it run on a CPU.
"""

import argparse
import json
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.utils import logging

from benchmarks.gpu import STARTED
from benchmarks.gpu.cases import Case, OutOfTimeError, Part, Setting, time_limit
from benchmarks.gpu.converted import converted
from benchmarks.gpu.evaluation import metrics
from benchmarks.gpu.folders import folders
from benchmarks.gpu.inference import compiled, inference, tiles_at_once
from benchmarks.gpu.page import part_text, write_document
from benchmarks.gpu.training import launches, steps
from maefuse_hf.evaluation import weights_sha256
from maefuse_hf.inference import SHIPPED_CHECKPOINTS, torch_device
from maefuse_hf.whole_files import write_text

PARTS = (
    Part("inference", inference, share=0.5),
    Part("tiles", tiles_at_once, share=0.2),
    Part("converted", converted, share=0.5),
    Part("training", steps, share=0.5),
    Part("metrics", metrics, share=0.2),
    Part("launch", launches, share=0.7),
    Part("folders", folders, share=0.4),
    Part("compiled", compiled, share=1.0),
)

QUICK = {
    "models": ("maefuse-tiny",),
    "size": (192, 176),
    "batches": (1, 2),
    "matrix_side": 64,
    "rounds": 1,
    "warm_up": 0,
    "encoder_layers": 1,
    "their_side": 64,
    "training_batch": 2,
    "crop_size": 32,
    "training_rounds": 1,
    "folder_pairs": 2,
}
"""Of the setting, for `--quick`."""


class Results:
    """What was measured so far, in a file that is whole at any time."""

    def __init__(self, file: Path, about: dict[str, Any]) -> None:
        self.file = file
        self.content: dict[str, Any] = {"about": about, "parts": {}}

    def write(self) -> None:
        """Write it all."""
        write_text(self.file, json.dumps(self.content, indent=1) + "\n")


def measure_part(part: Part, setting: Setting, until: float, results: Results) -> None:
    """Run a part's cases until its time is up.

    Args:
        until: on the clock of `time.monotonic`, when its time is up.
    """
    cases = list(part.cases(setting))
    started = time.monotonic()
    own: dict[str, Any] = {"rows": [], "not run": [case.name for case in cases], "problems": [], "seconds": 0.0}
    results.content["parts"][part.name] = own
    for case in cases:
        left = until - time.monotonic()
        if left > case.needs:
            try:
                own["rows"] += measured(case, left)
                own["not run"].remove(case.name)
            except OutOfTimeError:
                pass  # stays among what was not run
            # one failure on a lent device must not cost the rest: it is reported, and the exit status tells
            except Exception as error:
                own["not run"].remove(case.name)
                own["problems"].append({"case": case.name, "error": f"{type(error).__name__}: {error}"})
                traceback.print_exc()
        own["seconds"] = time.monotonic() - started
        results.write()


def measured(case: Case, seconds: float) -> list[dict[str, Any]]:
    """What a case gives, within so many seconds."""
    print(f"{case.name}, {seconds:.0f} s left for this part", file=sys.stderr, flush=True)
    with time_limit(seconds):
        return case.measure()


def about(setting: Setting, command: str) -> dict[str, Any]:
    """Where, with what, and when."""
    on_gpu = setting.device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(setting.device) if on_gpu else "CPU alone",
        "processors": torch.get_num_threads(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "transformers": transformers.__version__,
        "python": sys.version.split()[0],
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "command": command,
        "size": "×".join(map(str, setting.size)),
        "rounds": setting.rounds,
        "warm up": setting.warm_up,
        "weights sha256": {name: weights_sha256(SHIPPED_CHECKPOINTS[name]) for name in setting.models},
    }


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.gpu", description="Measure what the package does on a GPU.")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder for gpu.json")
    where.add_argument("--from", type=Path, dest="measured", metavar="DIR", help="of an earlier run; measure nothing")
    parser.add_argument("--seconds", type=float, default=110, help="how long all may take")
    parser.add_argument("--only", nargs="+", choices=[part.name for part in PARTS], metavar="NAME", help="these parts")
    parser.add_argument("--device", help="such as cpu or cuda:0; default: a CUDA device if there is one")
    parser.add_argument("--quick", action="store_true", help="a toy of everything")
    parser.add_argument("--write-docs", type=Path, metavar="FILE", help="where the tables go, between their marks")
    return parser.parse_args(arguments)


def command_of(options: argparse.Namespace) -> str:
    """The command, without its folder."""
    words = ["python -m benchmarks.gpu -o DIR", f"--seconds {options.seconds:g}"]
    words += [f"--only {' '.join(options.only)}"] if options.only else []
    words += [f"--device {options.device}"] if options.device else []
    words += ["--quick"] if options.quick else []
    return " ".join(words)


def measure(options: argparse.Namespace, started: float) -> dict[str, Any]:
    """Run the parts; what is in the file then."""
    logging.disable_progress_bar()
    ends = started + options.seconds
    setting = replace(Setting(torch_device(options.device)), **(QUICK if options.quick else {}))
    options.output.mkdir(parents=True, exist_ok=True)
    results = Results(options.output / "gpu.json", about(setting, command_of(options)))
    for part in PARTS:
        if options.only is None or part.name in options.only:
            now = time.monotonic()
            measure_part(part, setting, now + part.share * (ends - now), results)
            print(f"\n## {part.name}\n{part_text(part.name, results.content)}", flush=True)
    return results.content


def main(arguments: Sequence[str] | None = None, started: float | None = None) -> int:
    """Run the command line; returns the exit status: 1 if something failed.

    Args:
        arguments: those of the process without it.
        started: since when the seconds count, on the clock of `time.monotonic`; from now on without it.
    """
    options = parse(arguments)
    try:
        if options.measured:
            content = json.loads((options.measured / "gpu.json").read_text(encoding="utf-8"))
        else:
            content = measure(options, time.monotonic() if started is None else started)
        if options.write_docs:
            write_document(options.write_docs, content)
    except (OSError, ValueError) as error:
        print(f"gpu: {error}", file=sys.stderr)
        return 1
    return int(not options.measured and any(part["problems"] for part in content["parts"].values()))


if __name__ == "__main__":
    sys.exit(main(started=STARTED))
