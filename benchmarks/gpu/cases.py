"""What a part is made of: cases, each measured on its own, within the time that there is."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from benchmarks.converted_model_speed import THEIR_SIDE
from benchmarks.timing import CPU
from maefuse_hf.configuration_maefuse import VIT_MAE_LARGE
from maefuse_hf.inference import SHIPPED_CHECKPOINTS

Row = dict[str, Any]
"""What was measured, by name, as JSON takes it."""


@dataclass(frozen=True)
class Setting:
    """Where is measured, and how much."""

    device: torch.device = CPU
    models: tuple[str, ...] = tuple(SHIPPED_CHECKPOINTS)
    """Checkpoints that ship, by name."""
    size: tuple[int, int] = (640, 480)
    """Width and height of the pairs, in pixels."""
    batches: tuple[int, ...] = (1, 4, 16)
    matrix_side: int = 8192
    rounds: int = 7
    """How often each way is timed; the median counts."""
    warm_up: int = 2
    encoder_layers: int = VIT_MAE_LARGE["num_hidden_layers"]
    """Of the converted model."""
    their_side: int = THEIR_SIDE
    """What the authors' procedure stretches images to, in pixels."""
    training_batch: int = 128
    """Pairs."""
    crop_size: int = 128
    training_rounds: int = 5
    """Drawing a batch takes longer than its step."""
    folder_pairs: int = 64
    workers: int = 8


@dataclass(frozen=True)
class Case:
    """One measurement."""

    name: str
    measure: Callable[[], list[Row]]
    needs: float = 0.0
    """Seconds under which it is not begun."""


@dataclass(frozen=True)
class Part:
    """Cases that are reported together, in order of importance."""

    name: str
    cases: Callable[[Setting], Sequence[Case]]
    share: float
    """Which share of the time that is left it may take."""


@dataclass(frozen=True)
class Precision:
    """A precision of the weights, and of products of float32."""

    name: str
    dtype: torch.dtype
    products: str = "highest"
    """As `torch.set_float32_matmul_precision` takes it."""

    @contextmanager
    def set(self) -> Iterator[None]:
        """Products of float32 in this precision, and in the former one afterwards."""
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision(self.products)
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)


FLOAT32 = Precision("float32", torch.float32)
TF32 = Precision("TF32", torch.float32, "high")
"""Weights of float32, whose products are taken in TF32 where the device has it."""
BFLOAT16 = Precision("bfloat16", torch.bfloat16)
FLOAT16 = Precision("float16", torch.float16)

Pair = tuple[Image.Image, Image.Image]
Inputs = dict[str, Tensor]


class OutOfTimeError(BaseException):
    """A case took longer than there was time; nothing that is written for other errors catches it."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise an `OutOfTimeError` in the main thread after so many seconds, as soon as Python runs again."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise OutOfTimeError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
