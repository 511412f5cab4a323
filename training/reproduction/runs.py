"""A run of the study: made once, recognised when it is there, with a record of how it was made."""

import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from maefuse_hf.whole_files import write_text
from training.config import PretrainingConfig, TrainingConfig
from training.pretrain_mae import pretrain
from training.recipe import without_folders
from training.reproduction.study import Study
from training.train import train

RECORD = "run.json"
"""How a run was made; with the key `finished` once it is complete."""


def nothing() -> None:
    """What a run needs that starts from what is there."""


@dataclass(frozen=True)
class Run:
    """One training, wholly described by its configuration."""

    name: str
    config: TrainingConfig | PretrainingConfig
    prepare: Callable[[], None] = nothing
    """Makes what the run starts from, before it, from runs that stand before it."""


def finished_record(folder: Path) -> dict[str, Any] | None:
    """The record of a complete run; none where there is no such run, or one that was stopped."""
    record = read_record(folder)
    return record if "finished" in record else None


def read_record(folder: Path) -> dict[str, Any]:
    """The record of a run that was started; empty without one."""
    path = folder / RECORD
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def ensure(run: Run, study: Study) -> None:
    """Make a run, go on with it where it was stopped, or find it done.

    Raises:
        ValueError: if its folder holds a run of another configuration.
    """
    folder = study.run_folder(run.name)
    record = read_record(folder)
    config = json.loads(json.dumps(asdict(run.config)))
    if record and record["config"] != config:
        raise ValueError(f"{folder} holds a run of another configuration. Remove it, or choose another --output_dir.")
    if "finished" in record:
        tqdm.write(f"{run.name}: done already")
        return
    tqdm.write(f"{run.name}: {'goes on' if record else 'starts'}")
    folder.mkdir(parents=True, exist_ok=True)
    record = {
        "name": run.name,
        "command": " ".join(["python", *without_folders(sys.argv)]),
        "seed": run.config.seed,
        **provenance(),
        "starts": record.get("starts", 0) + 1,
        "config": config,
    }
    write_record(record, folder)
    run.prepare()
    started, busy = time.monotonic(), time.process_time()
    if isinstance(run.config, PretrainingConfig):
        pretrain(run.config, folder)
    else:
        train(run.config, folder)
    record["seconds"] = round(time.monotonic() - started, 1)
    record["cpu_seconds"] = round(time.process_time() - busy, 1)
    record["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
    write_record(record, folder)


def write_record(record: dict[str, Any], folder: Path) -> None:
    """Write the record of a run into its folder."""
    write_text(folder / RECORD, json.dumps(record, indent=1) + "\n")


def provenance() -> dict[str, Any]:
    """Of which code, and on which device."""
    return {"commit": commit(), "device": device(), "threads": torch.get_num_threads(), "torch": torch.__version__}


def commit() -> str:
    """The commit of the code, and whether files were changed since; `unknown` outside a repository."""
    here = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()


def device() -> str:
    """The GPU's name, or the CPU's."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
