"""How long runs take, in turns; and what the device itself does, to hold them against."""

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from tqdm import trange

Key = TypeVar("Key")

CPU = torch.device("cpu")


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given; a GPU works on while Python goes on."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def in_turns(
    runs: Mapping[Key, Callable[[], object]],
    rounds: int,
    *,
    warm_up: int = 0,
    device: torch.device = CPU,
    clock: Callable[[], float] = time.perf_counter,
    progress: str | None = None,
) -> dict[Key, list[float]]:
    """Seconds of each run in each round. All take turns, so that what else the machine does meets all of them.

    Args:
        runs: what is timed, by name.
        rounds: how often each is timed.
        warm_up: rounds before these that do not count.
        device: where the work is done; a run lasts until the device is done with it.
        clock: seconds.
        progress: what a bar says; none without it.
    """
    seconds: dict[Key, list[float]] = {key: [] for key in runs}
    for number in trange(-warm_up, rounds, desc=progress, unit="round", disable=progress is None):
        for key, run in runs.items():
            synchronize(device)
            started = clock()
            run()
            synchronize(device)
            if number >= 0:
                seconds[key].append(clock() - started)
    return seconds


def medians(seconds: Mapping[Key, list[float]]) -> dict[Key, float]:
    """The median of each."""
    return {key: statistics.median(values) for key, values in seconds.items()}


def matrix_product(side: int, device: torch.device = CPU, dtype: torch.dtype = torch.float32) -> Callable[[], object]:
    """A run that multiplies two square matrices of random numbers."""
    left, right = torch.randn(2, side, side, device=device).to(dtype)
    return partial(torch.matmul, left, right)


def operations_of_a_product(side: int) -> int:
    """Floating-point operations of it."""
    return 2 * side**3


def operations_of(run: Callable[[], object]) -> int:
    """Floating-point operations of a run's matrix products and convolutions, attention included."""
    # PyTorch's fused attention on a CPU is not counted; its plain form is products like others
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()
