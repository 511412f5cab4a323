import errno
import json
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import ProjectConfiguration
from safetensors import SafetensorError

from training.checkpoints import POSITION, newest_checkpoint, save_checkpoint


@pytest.fixture
def accelerator(tmp_path):
    project = ProjectConfiguration(str(tmp_path), automatic_checkpoint_naming=True, total_limit=2)
    started = Accelerator(cpu=True, project_config=project)
    started.prepare(torch.nn.Linear(1, 1))
    yield started
    started.free_memory()


def test_there_is_none_at_first(accelerator):
    assert newest_checkpoint(accelerator) is None


def test_the_newest_counts_and_the_oldest_go(accelerator, tmp_path):
    for steps in (5, 10, 15):
        save_checkpoint(accelerator, stage="decoder", steps=steps)
    found = newest_checkpoint(accelerator)
    assert found.folder == tmp_path / "checkpoints" / "checkpoint_2"
    assert found.position == {"stage": "decoder", "steps": 15}
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["checkpoint_1", "checkpoint_2"]


def test_the_tenth_is_newer_than_the_ninth(accelerator):
    for steps in range(11):
        save_checkpoint(accelerator, steps=steps)
    assert newest_checkpoint(accelerator).position == {"steps": 10}


def test_a_state_that_was_not_finished_does_not_count_and_makes_room(accelerator, tmp_path):
    for steps in (5, 10):
        save_checkpoint(accelerator, steps=steps)
    broken = tmp_path / "checkpoints" / "checkpoint_1"
    (broken / POSITION).rename(broken / f"{POSITION}.partial")
    found = newest_checkpoint(accelerator)
    assert found.position == {"steps": 5} and not broken.exists()
    save_checkpoint(accelerator, steps=12)
    assert json.loads((broken / POSITION).read_text()) == {"steps": 12}


def half_written(accelerator, error):
    """A `save_state` that makes the folder, writes one file into it and fails."""

    def save_state():
        folder = Path(accelerator.project_dir) / "checkpoints" / f"checkpoint_{accelerator.save_iteration}"
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"half")
        raise error

    return save_state


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 4; No space left on device"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_leaves_the_states_before_and_says_what_to_do(accelerator, tmp_path, monkeypatch, error):
    for steps in (5, 10):
        save_checkpoint(accelerator, steps=steps)
    with monkeypatch.context() as patch:
        patch.setattr(accelerator, "save_state", half_written(accelerator, error))
        with pytest.raises(OSError, match=r"checkpoint_2 could not be saved and was removed\. Whole are checkpoint_0"):
            save_checkpoint(accelerator, steps=15)
    assert newest_checkpoint(accelerator).position == {"steps": 10}
    save_checkpoint(accelerator, steps=15)
    assert newest_checkpoint(accelerator).position == {"steps": 15}


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "Permission denied"), RuntimeError("CUDA error")])
def test_other_errors_stay_what_they_are(accelerator, monkeypatch, error):
    save_checkpoint(accelerator, steps=5)
    monkeypatch.setattr(accelerator, "save_state", half_written(accelerator, error))
    with pytest.raises(type(error), match=str(error.args[-1])):
        save_checkpoint(accelerator, steps=10)


def test_position_without_room(accelerator, monkeypatch):
    """The state itself fits, what makes it complete does not."""
    save_checkpoint(accelerator, steps=5)

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match="The disk is full: checkpoint_1 could not be saved"):
            save_checkpoint(accelerator, steps=10)
    assert newest_checkpoint(accelerator).position == {"steps": 5}
