from pathlib import Path

import pytest

from training.checkpoints import Checkpoint
from training.config import TrainingConfig
from training.config_file import build
from training.schedule import plan_stages, stage_to_resume


def config(**stages):
    values = {"encoder": "folder", "data": {"pairs": "pairs"}, "stages": stages, "seed": 7}
    return build(TrainingConfig, values)


def test_stages_without_steps_are_left_out_and_steps_add_up():
    stages = plan_stages(config(mfm_fuse={"steps": 30}, decoder={"steps": 20}, cfm_fuse={"steps": 5}), Path("run"))
    assert [(planned.stage.name, planned.steps_before) for planned in stages] == [
        ("decoder", 0),
        ("cfm_fuse", 20),
        ("mfm_fuse", 25),
    ]
    assert [planned.seed for planned in stages] == [7, 9, 11]
    assert stages[1].folder == Path("run/stages/cfm_fuse")


def test_a_schedule_of_nothing():
    with pytest.raises(ValueError, match="No stage has any steps"):
        plan_stages(config(), Path("run"))


def test_a_yaml_unlocks_parts():
    (planned,) = plan_stages(config(mfm_fuse={"steps": 1, "trains": ["merging_fusion", "decoder"]}), Path("run"))
    assert planned.stage.trains == ("merging_fusion", "decoder")
    message = r"stages.cfm_align.trains is \['decoder'\]; it must be out of comparative_fusion"
    with pytest.raises(ValueError, match=message):
        plan_stages(config(cfm_align={"steps": 1, "trains": ["decoder"]}), Path("run"))


def test_a_run_goes_on_in_the_stage_of_its_state():
    stages = plan_stages(config(decoder={"steps": 2}, cfm_fuse={"steps": 2}), Path("run"))
    assert stage_to_resume(stages, None) == 0
    assert stage_to_resume(stages, Checkpoint(Path("state"), {"stage": "cfm_fuse", "steps": 1})) == 1
    with pytest.raises(ValueError, match="state was saved in stage mfm_fuse, which has no steps now"):
        stage_to_resume(stages, Checkpoint(Path("state"), {"stage": "mfm_fuse", "steps": 1}))
