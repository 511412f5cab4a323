"""Training: what a step costs, and the launch configurations that need a GPU."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path

from accelerate import Accelerator

import training
from benchmarks.gpu.cases import Case, Row, Setting
from benchmarks.training_cost import measure_steps
from training.render_pairs import render_pairs

STAGE = "mfm_fuse"
TRAINING = Path(training.__file__).parent
CONFIGS = TRAINING / "configs"
PAIRS = 8
"""That the toy runs see, as in docs/training.md."""
TO_LAUNCH = 15
"""Seconds under which no run is started."""
REACHED = re.compile(r"mfm_fuse, step \d+: (.+)")
"""What a run says of its last validation."""
TOLD = 2000
"""Characters of a failed run's output that are kept."""


def steps(setting: Setting) -> Sequence[Case]:
    """A step of the last stage in full and mixed precision, with and without cached features."""

    def measure() -> list[Row]:
        accelerator = Accelerator(cpu=setting.device.type == "cpu")
        sizes = setting.training_batch, setting.crop_size, setting.training_rounds
        costs = measure_steps(STAGE, setting.models[0], *sizes, accelerator, warm_up=1)
        about = {"batch": setting.training_batch, "crop": setting.crop_size, "model": setting.models[0]}
        return [about | asdict(cost) for cost in costs]

    return [Case(f"{STAGE}, {setting.training_batch} pairs of {setting.crop_size} px", measure)]


def launches(setting: Setting) -> Sequence[Case]:
    """The toy runs of docs/training.md as the launch configurations for GPUs start them."""
    temporary = tempfile.TemporaryDirectory()
    runs = Path(temporary.name)
    device = ["--cpu"] if setting.device.type == "cpu" else []
    pretrained = runs / "pretrain_tiny"

    @cache
    def pairs() -> Path:
        path = Path(temporary.name) / "pairs"  # the folder lives as long as what names it
        render_pairs(path, PAIRS, height=96, width=128)
        return path

    def launch(configuration: Sequence[str], script: str, config: str, output: Path, *overrides: str) -> list[Row]:
        command = [sys.executable, "-m", "accelerate.commands.launch", *device, "--config_file"]
        command += [str(CONFIGS / "accelerate" / configuration[0]), *configuration[1:]]
        command += [str(TRAINING / script), "--config", str(CONFIGS / config), "--output_dir", str(output)]
        command += [f"data.pairs={pairs()}", *overrides]
        started = time.monotonic()
        said = said_by(command)
        row: Row = {"configuration": " ".join(configuration), "script": script, "overrides": list(overrides[:1])}
        reached = REACHED.findall(said)
        return [row | {"seconds": time.monotonic() - started, "reached": reached[-1] if reached else None}]

    def train(configuration: Sequence[str], precision: str) -> list[Row]:
        output = runs / "_".join([*configuration, precision])
        encoder = f"encoder={pretrained / 'encoder'}"
        return launch(configuration, "train.py", "tiny.yaml", output, f"mixed_precision={precision}", encoder)

    def pretrain() -> list[Row]:
        script = "pretrain_mae.py", "pretrain_tiny.yaml", pretrained
        return launch(["one_gpu.yaml"], *script, "mixed_precision=bf16")

    sharded = ["fsdp2.yaml", "--num_processes", "1"]
    return [
        Case("one_gpu.yaml, pretrain_mae.py", pretrain, TO_LAUNCH),
        Case("one_gpu.yaml, train.py, bf16", partial(train, ["one_gpu.yaml"], "bf16"), TO_LAUNCH),
        Case("one_gpu.yaml, train.py, fp16", partial(train, ["one_gpu.yaml"], "fp16"), TO_LAUNCH),
        Case("fsdp2.yaml with one process, train.py, bf16", partial(train, sharded, "bf16"), TO_LAUNCH),
    ]


def said_by(command: Sequence[str]) -> str:
    """What a command and the processes that it starts write. They end with this call, whatever ends it.

    Raises:
        RuntimeError: the command failed; with the end of what it said.
    """
    paths = [str(TRAINING.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
        try:
            status = process.wait()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        output.seek(0)
        said = output.read()
    if status:
        raise RuntimeError(f"It ended with status {status}: {said[-TOLD:]}")
    return said
