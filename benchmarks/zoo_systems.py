"""What the table of checkpoints has lines of: a checkpoint, an exported ONNX file, the rule without parameters."""

import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from maefuse_hf import MaeFuseImageProcessor
from maefuse_hf.evaluation import RULE, weights_sha256
from maefuse_hf.evaluation.onnx_system import PROCESSOR_ONLY, OnnxSystem
from maefuse_hf.evaluation.provenance import WEIGHTS_OF_A_CHECKPOINT
from maefuse_hf.evaluation.rule import rule
from maefuse_hf.example_scene import render_example_pair
from maefuse_hf.inference import fuse_pair, load_checkpoint

WIDTH, HEIGHT = 640, 480
STATUS_OF_THIS_PROCESS = Path("/proc/self/status")
KIBIBYTES_PER_GIGABYTE = 1e9 / 1024
QUANTIZATION = ("_scale", "_zero_point")
"""How onnxruntime names what turns 8-bit weights into numbers; no parameters of the model."""

ONE_PAIR_WITHOUT_PYTORCH = f"""
import sys
from fuse_with_onnxruntime import MaeFuseOnnx
folder, precision, *pair = sys.argv[1:]
MaeFuseOnnx(folder, precision, {list(PROCESSOR_ONLY)}, threads=1).fuse(*pair)
print(open("{STATUS_OF_THIS_PROCESS}").read())
"""


class ZooSystem(Protocol):
    """What a line needs. It can be sent to another process."""

    @property
    def name(self) -> str:
        """How the table calls it."""

    @property
    def digests(self) -> list[str]:
        """SHA-256 of its weight files, sorted; none for the rule."""

    @property
    def megabytes(self) -> float:
        """Size of its weight files."""

    def loaded(self) -> tuple[int, Callable[[], object]]:
        """How many parameters it has, and a function that fuses the example pair."""

    def peak_gigabytes(self) -> float:
        """The most memory of a process that fuses the pair once; called in a process of its own."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's folder, run by PyTorch."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's."""
        return self.folder.resolve().name

    @property
    def digests(self) -> list[str]:
        """See `ZooSystem`."""
        return sorted(weights_sha256(self.folder).values())

    @property
    def megabytes(self) -> float:
        """See `ZooSystem`."""
        return sum(path.stat().st_size for path in self.folder.glob(WEIGHTS_OF_A_CHECKPOINT)) / 10**6

    def loaded(self) -> tuple[int, Callable[[], object]]:
        """See `ZooSystem`."""
        infrared, visible = render_example_pair(HEIGHT, WIDTH)
        model, processor = load_checkpoint(str(self.folder), "cpu")
        return model.num_parameters(), lambda: fuse_pair(model, processor, infrared, visible)

    def peak_gigabytes(self) -> float:
        """See `ZooSystem`."""
        return peak_of_this_process(self)


@dataclass(frozen=True)
class OnnxFile:
    """A file of `maefuse export onnx`."""

    name: str
    path: Path

    @property
    def digests(self) -> list[str]:
        """Of the file.

        Raises:
            OSError, ValueError: as `OnnxSystem`.
        """
        return [OnnxSystem(self.name, self.path).sha256]

    @property
    def megabytes(self) -> float:
        """See `ZooSystem`."""
        return self.path.stat().st_size / 10**6

    def loaded(self) -> tuple[int, Callable[[], object]]:
        """See `ZooSystem`; the parameters are the numbers among the graph's weights."""
        import onnx

        runner = OnnxSystem(self.name, self.path).runner
        weights = onnx.load(self.path).graph.initializer
        numbers = sum(math.prod(weight.dims) for weight in weights if not weight.name.endswith(QUANTIZATION))
        pair = render_example_pair(HEIGHT, WIDTH)
        return numbers, lambda: runner.fuse(*pair)

    def peak_gigabytes(self) -> float:
        """Of a process with onnxruntime and without PyTorch."""
        system = OnnxSystem(self.name, self.path)
        script = Path(sys.modules[type(system.runner).__module__].__file__ or "")
        with tempfile.TemporaryDirectory() as temporary:
            pair = [Path(temporary) / f"{name}.png" for name in ("infrared", "visible")]
            for image, path in zip(render_example_pair(HEIGHT, WIDTH), pair):
                image.save(path)
            command = [sys.executable, "-c", ONE_PAIR_WITHOUT_PYTORCH, self.path.parent, system.precision, *pair]
            done = subprocess.run(
                list(map(str, command)),
                env={**os.environ, "PYTHONPATH": str(script.parent)},
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
        return peak_in(done.stdout)


@dataclass(frozen=True)
class PixelRule:
    """The rule, beside which the others stand."""

    name: str = RULE
    megabytes: float = 0

    @property
    def digests(self) -> list[str]:
        """None."""
        return []

    def loaded(self) -> tuple[int, Callable[[], object]]:
        """See `ZooSystem`."""
        infrared, visible = render_example_pair(HEIGHT, WIDTH)
        processor = MaeFuseImageProcessor()

        def fuse() -> object:
            inputs = processor(infrared=infrared, visible=visible, return_tensors="pt")
            return processor.post_process_image_fusion(rule(inputs["infrared"], inputs["visible"]), inputs)

        return 0, fuse

    def peak_gigabytes(self) -> float:
        """See `ZooSystem`."""
        return peak_of_this_process(self)


def peak_of_this_process(system: ZooSystem) -> float:
    """The most memory that this process held, in gigabytes, after the system has fused one pair on one thread."""
    torch.set_num_threads(1)
    _, fuse = system.loaded()
    fuse()
    return peak_in(STATUS_OF_THIS_PROCESS.read_text())


def peak_in(status: str) -> float:
    """The most memory that a process held, in gigabytes, from what Linux says of it.

    `getrusage` would count what the process that started it held.
    """
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / KIBIBYTES_PER_GIGABYTE
