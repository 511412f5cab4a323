import errno
import json
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import ProjectConfiguration
from safetensors import SafetensorError

from training.checkpoints import POSITION, newest_checkpoint, save_checkpoint, with_room


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


def test_the_last_good_state_outlives_a_write_that_fails_half_way(tmp_path, monkeypatch):
    """The disk fills up while accelerate writes the optimizer, after the weights; the oldest state has gone already."""
    project = ProjectConfiguration(str(tmp_path), automatic_checkpoint_naming=True, total_limit=2)
    accelerator = Accelerator(cpu=True, project_config=project)
    layer = torch.nn.Linear(3, 2)
    model, optimizer = accelerator.prepare(layer, torch.optim.AdamW(layer.parameters()))
    kept = []
    for steps in (1, 2, 3):
        model(torch.full((1, 3), float(steps))).sum().backward()
        optimizer.step()
        kept.append([weight.clone() for weight in layer.parameters()])
        if steps < 3:
            save_checkpoint(accelerator, steps=steps)

    save = torch.save

    def full(content, file, *arguments, **options):
        save(content, file, *arguments, **options)
        if "optimizer" in str(file):
            Path(file).write_bytes(Path(file).read_bytes()[:100])
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(
            OSError, match=r"checkpoint_2 could not be saved and was removed\. Whole are checkpoint_1\."
        ):
            save_checkpoint(accelerator, steps=3)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["checkpoint_1"]

    found = newest_checkpoint(accelerator)
    accelerator.load_state(str(found.folder))
    assert found.position == {"steps": 2}
    assert all(torch.equal(weight, before) for weight, before in zip(layer.parameters(), kept[1], strict=True))
    # with room again, both are kept
    save_checkpoint(accelerator, steps=3)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["checkpoint_1", "checkpoint_2"]
    accelerator.free_memory()


def test_a_model_that_does_not_fit_is_removed_and_the_states_stay(accelerator, tmp_path):
    save_checkpoint(accelerator, steps=5)
    folder = tmp_path / "stages" / "decoder"
    said = r"decoder could not be saved and was removed\. Whole are checkpoint_0\."
    with pytest.raises(OSError, match=said), with_room(accelerator, folder):
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(b"half")
        raise SafetensorError("I/O error: No space left on device (os error 28)")
    assert not folder.exists()
    assert newest_checkpoint(accelerator).position == {"steps": 5}


def test_other_files_without_room(accelerator):
    with (
        pytest.raises(OSError, match=r"nothing more can be written\. Whole are none\. Make room"),
        with_room(accelerator),
    ):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")


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
