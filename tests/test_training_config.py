import re
from pathlib import Path

import pytest
import yaml

from training.config import PretrainingConfig, TrainingConfig, build, override, save_resolved

CONFIGS = Path(__file__).parent.parent / "training" / "configs"
MINIMAL = {"encoder": "folder", "data": {"pairs": "pairs"}, "stages": {"decoder": {"steps": 3}}}


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_every_yaml_is_a_valid_run(path, tmp_path):
    config_class = PretrainingConfig if path.name.startswith("pretrain") else TrainingConfig
    config = build(config_class, yaml.safe_load(path.read_text()))
    save_resolved(config, tmp_path)
    assert build(config_class, yaml.safe_load((tmp_path / "config.yaml").read_text())) == config


def test_defaults_nesting_and_overrides():
    config = build(TrainingConfig, override(dict(MINIMAL), ["stages.cfm_fuse.learning_rate=0.5", "batch_size=2"]))
    assert config.stages.decoder.steps == 3
    assert config.stages.cfm_fuse.learning_rate == 0.5
    assert config.stages.mfm_fuse.steps == 0
    assert config.batch_size == 2
    assert config.loss_weights == {"intensity": 1.0, "gradient": 2.0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 3}, "TrainingConfig has no field epochs; it has data, stages, encoder"),
        ({"stages": {"decoder": {"lr": 3}}}, "StageConfig has no field lr"),
        ({"stages": 3}, "StagesConfig needs a mapping of its fields, but 3 came"),
        ({"batch_size": 0}, "batch_size is 0; it must be a positive number"),
        ({"stages": {"decoder": {"learning_rate": "1e-4"}}}, "StageConfig.learning_rate is '1e-4'; it must be of type"),
        ({"data": {}}, "DataConfig is incomplete"),
        ({"encoder": None}, "encoder is None; it must be set, unless start.model is"),
        ({"start": {"model": "trained"}}, "encoder is 'folder'; it must be set, unless start.model is"),
        (
            {"encoder": None, "start": {"model": "trained"}, "model": {"fusion_window": 5}},
            "model is {'fusion_window': 5}; it must be left out, since start.model brings its own",
        ),
        ({"data": {"pairs": "x", "black_hot_probability": 1.5}}, "black_hot_probability is 1.5; it must be between"),
        ({"data": {"pairs": "x", "gamma_range": [2, 1]}}, "gamma_range is (2, 1); it must be two positive numbers"),
    ],
)
def test_what_does_not_fit_is_named(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        build(TrainingConfig, MINIMAL | changes)


def test_an_override_needs_an_equals_sign():
    with pytest.raises(ValueError, match="'batch_size' is no override; write it as key=value"):
        override({}, ["batch_size"])
