import re
from pathlib import Path

import pytest
import yaml

from training.config import TrainingConfig
from training.config_file import build, override, parse_run, read_yaml, save_resolved

MINIMAL = {"encoder": "folder", "data": {"pairs": "pairs"}, "stages": {"decoder": {"steps": 3}}}


def test_defaults_nesting_and_overrides():
    config = build(TrainingConfig, override(dict(MINIMAL), ["stages.cfm_fuse.learning_rate=0.5", "batch_size=2"]))
    assert config.stages.decoder.steps == 3
    assert config.stages.cfm_fuse.learning_rate == 0.5
    assert config.stages.mfm_fuse.steps == 0
    assert config.batch_size == 2
    assert config.loss_weights is None


def test_an_override_needs_an_equals_sign():
    with pytest.raises(ValueError, match="'batch_size' is no override; write it as key=value"):
        override({}, ["batch_size"])


def test_an_override_reaches_into_groups_alone():
    with pytest.raises(ValueError, match=re.escape("'batch_size.big=3' names a field of batch_size, which is 8")):
        override({"batch_size": 8}, ["batch_size.big=3"])


def test_no_is_text_in_a_file_and_on_the_command_line(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("mixed_precision: no\nfeature_cache: {folder: off}\ngradient_checkpointing: true\n")
    values = override(read_yaml(path), ["tracker=no", "data.in_memory=false"])
    assert values == {
        "mixed_precision": "no",
        "feature_cache": {"folder": "off"},
        "gradient_checkpointing": True,
        "tracker": "no",
        "data": {"in_memory": False},
    }


def test_a_file_extends_another(tmp_path):
    (tmp_path / "base.yaml").write_text("batch_size: 4\nstages: {decoder: {steps: 3, learning_rate: 0.5}}\n")
    (tmp_path / "middle.yaml").write_text("extends: base.yaml\nseed: 1\n")
    (tmp_path / "top.yaml").write_text("extends: middle.yaml\nstages: {decoder: {steps: 0}}\n")
    assert read_yaml(tmp_path / "top.yaml") == {
        "batch_size": 4,
        "seed": 1,
        "stages": {"decoder": {"steps": 0, "learning_rate": 0.5}},
    }
    (tmp_path / "list.yaml").write_text("- 3\n")
    with pytest.raises(ValueError, match=r"list\.yaml holds \[3\]; a mapping of fields is needed"):
        read_yaml(tmp_path / "list.yaml")


def test_what_changed_since_the_last_start_is_told(tmp_path):
    config = build(TrainingConfig, MINIMAL)
    assert save_resolved(config, tmp_path) == []
    changed = build(TrainingConfig, override(dict(MINIMAL), ["stages.decoder.steps=5", "seed=1"]))
    assert save_resolved(changed, tmp_path) == ["stages.decoder.steps: 3 → 5", "seed: 0 → 1"]
    assert save_resolved(changed, tmp_path) == []


def test_overrides_may_stand_anywhere_on_the_command_line(tmp_path, monkeypatch):
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(MINIMAL))
    command = ["train.py", "seed=3", "--config", str(tmp_path / "run.yaml"), "batch_size=2", "--output_dir", "out"]
    monkeypatch.setattr("sys.argv", command)
    config, output_dir = parse_run(TrainingConfig, "")
    assert (config.seed, config.batch_size, output_dir) == (3, 2, Path("out"))
