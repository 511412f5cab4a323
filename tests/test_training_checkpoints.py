import json

import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import ProjectConfiguration

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
