# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Work that is shared among the processes of `accelerate launch`."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from transformers.utils import is_accelerate_available

Item = TypeVar("Item")


def alone(items: list[Any]) -> list[Any]:
    """What a process gathers where there is no other."""
    return items


def nobody() -> None:
    """Wait for the other processes where there is none."""


@dataclass(frozen=True)
class Processes:
    """This process among all of them; without arguments, the only one."""

    index: int = 0
    count: int = 1
    device: str | None = None
    gather: Callable[[list[Any]], list[Any]] = alone
    wait: Callable[[], None] = nobody

    @property
    def is_main(self) -> bool:
        """Whether this is the process that reports and writes."""
        return self.index == 0

    def share(self, items: Sequence[Item]) -> list[Item]:
        """Every `count`-th item, so that each item belongs to exactly one process."""
        return list(items[self.index :: self.count])


def launched_processes() -> Processes:
    """The processes that `accelerate launch` started, each with a device of its own.

    Raises:
        OSError: there are several, and accelerate, by which they talk to each other, is not installed.
    """
    if not is_accelerate_available():
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise OSError(
                "Several processes were launched, but accelerate is not installed: each would do all the work. "
                'Install it with pip install "maefuse-hf[evaluate]", or start a single process.'
            )
        return Processes()
    from accelerate import PartialState
    from accelerate.utils import gather_object, parse_flag_from_env

    # without being told of the CPU, accelerate takes processes that have no GPU for unrelated ones
    state = PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.cuda.is_available())
    if state.num_processes == 1:
        return Processes()
    return Processes(
        state.process_index, state.num_processes, str(state.device), gather_object, state.wait_for_everyone
    )
