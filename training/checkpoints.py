"""Saved states of a run: written by accelerate, complete or not there, found again after any stop."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from accelerate import Accelerator

POSITION = "position.json"
"""Where in the run a saved state was taken; written last and at once, so a state without it is a broken one."""


@dataclass(frozen=True)
class Checkpoint:
    """A complete saved state."""

    folder: Path
    position: dict[str, int | str]
    """What `save_checkpoint` was given."""


def save_checkpoint(accelerator: Accelerator, **position: int | str) -> None:
    """Save weights, optimizer, schedule and random states under the run's `checkpoints/`, with `position` beside them.

    Every process calls it. The accelerator's project configuration names the states and limits their number.
    """
    folder = Path(accelerator.save_state())
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        written = folder / f"{POSITION}.partial"
        written.write_text(json.dumps(position))
        written.replace(folder / POSITION)
    accelerator.wait_for_everyone()


def newest_checkpoint(accelerator: Accelerator) -> Checkpoint | None:
    """The run's newest complete state, if there is one; removes incomplete ones, and lets new states be named after it.

    Every process calls it.
    """
    states = Path(accelerator.project_dir) / "checkpoints"
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
