"""Saved states of a run: written by accelerate, complete or not there, found again after any stop."""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from accelerate import Accelerator
from safetensors import SafetensorError

POSITION = "position.json"
"""Where in the run a saved state was taken; written last and at once, so a state without it is a broken one."""
LITTLE_ROOM = 2**20
"""A disk with fewer free bytes counts as full where an error does not say why it came."""


@dataclass(frozen=True)
class Checkpoint:
    """A complete saved state."""

    folder: Path
    position: dict[str, int | str]
    """What `save_checkpoint` was given."""


def save_checkpoint(accelerator: Accelerator, **position: int | str) -> None:
    """Save weights, optimizer, schedule and random states under the run's `checkpoints/`, with `position` beside them.

    Every process calls it. The accelerator's project configuration names the states and limits their number.

    Raises:
        OSError: if the disk is full, as `with_room`.
    """
    folder = states_of(accelerator) / f"checkpoint_{accelerator.save_iteration}"
    with with_room(accelerator, folder):
        accelerator.save_state()
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            written = folder / f"{POSITION}.partial"
            written.write_text(json.dumps(position))
            written.replace(folder / POSITION)
    accelerator.wait_for_everyone()


def states_of(accelerator: Accelerator) -> Path:
    """The folder of a run's saved states."""
    return Path(accelerator.project_dir) / "checkpoints"


@contextmanager
def with_room(accelerator: Accelerator, folder: Path | None = None) -> Iterator[None]:
    """While a run writes something, a whole `folder` where one is named.

    Raises:
        OSError: if the disk is full. The folder, half written, is removed; the saved states before stay.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        # torch and safetensors have errors of their own for what the system says
        states = states_of(accelerator)
        if not is_disk_full(error, Path(accelerator.project_dir)):
            raise
        lost = "nothing more can be written"
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
            lost = f"{folder.name} could not be saved and was removed"
        whole = [position.parent for position in states.glob(f"checkpoint_*/{POSITION}")]
        kept = ", ".join(state.name for state in sorted(whole, key=checkpoint_number))
        raise OSError(
            errno.ENOSPC,
            f"The disk is full: {lost}. Whole are {kept or 'none'}. Make room, and start the same command again: it "
            "goes on from the newest",
            str(states),
        ) from error


def is_disk_full(error: Exception, folder: Path) -> bool:
    """Whether an error that came while something was written comes from a disk without room."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return os.strerror(errno.ENOSPC) in str(error) or shutil.disk_usage(folder).free < LITTLE_ROOM


def newest_checkpoint(accelerator: Accelerator) -> Checkpoint | None:
    """The run's newest complete state, if there is one; removes incomplete ones, and lets new states be named after it.

    Every process calls it.
    """
    states = states_of(accelerator)
    if accelerator.is_main_process:
        for folder in states.glob("checkpoint_*"):
            if not (folder / POSITION).is_file():
                shutil.rmtree(folder)
    accelerator.wait_for_everyone()
    complete = sorted(states.glob("checkpoint_*"), key=checkpoint_number)
    if not complete:
        return None
    accelerator.project_configuration.iteration = checkpoint_number(complete[-1]) + 1
    return Checkpoint(complete[-1], json.loads((complete[-1] / POSITION).read_text()))


def checkpoint_number(folder: Path) -> int:
    """The number that accelerate gave to a saved state."""
    return int(folder.name.split("_")[1])
