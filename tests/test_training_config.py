import re
from pathlib import Path

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file

from maefuse_hf import MaeFuseConfig
from maefuse_hf.losses import require_fusion_terms
from training.config import PretrainingConfig, TrainingConfig
from training.config_file import RESOLVED, build, read_yaml, save_resolved

CONFIGS = Path(__file__).parent.parent / "training" / "configs"
YAMLS = sorted([*CONFIGS.glob("*.yaml"), *CONFIGS.glob("ablations/*.yaml")])
MINIMAL = {"encoder": "folder", "data": {"pairs": "pairs"}, "stages": {"decoder": {"steps": 3}}}


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: path.name)
def test_every_yaml_is_a_valid_run(path, tmp_path):
    config_class = PretrainingConfig if path.name.startswith("pretrain") else TrainingConfig
    config = build(config_class, read_yaml(path))
    if config_class is TrainingConfig:
        model = MaeFuseConfig(**config.model)
        require_fusion_terms(config.loss_weights or model.loss_weights)
    assert save_resolved(config, tmp_path) == []
    assert build(config_class, yaml.safe_load((tmp_path / RESOLVED).read_text())) == config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 3}, "TrainingConfig has no field epochs; it has data, stages, encoder"),
        ({"stages": {"decoder": {"lr": 3}}}, "StageConfig has no field lr"),
        ({"stages": 3}, "StagesConfig needs a mapping of its fields, but 3 came"),
        ({"batch_size": 0}, "batch_size is 0; it must be a positive number"),
        ({"stages": {"decoder": {"learning_rate": "1e-4"}}}, "StageConfig.learning_rate is '1e-4'; it must be of type"),
        ({"tracker": 3}, "TrainingConfig.tracker is 3; it must be of type str or empty"),
        ({"checkpoint_limit": 1}, "checkpoint_limit is 1; it must be 2 or more"),
        ({"mixed_precision": "fp8"}, "mixed_precision is 'fp8'; it must be no, fp16 or bf16"),
        ({"feature_cache": {"folder": "x"}}, "data.crops_per_pair is None; it must be a number where feature_cache"),
        ({"feature_cache": {"dtype": "int8"}}, "dtype is 'int8'; it must be float16 or float32"),
        ({"data": {"pairs": "x", "streaming": True, "workers": 2}}, "workers is 2; it must be 0 or 1 with streaming"),
        ({"data": {"pairs": "x", "streaming": True, "crops_per_pair": 2}}, "crops_per_pair is 2; it must be left out"),
        ({"data": {"pairs": "x", "crops_per_pair": 0}}, "crops_per_pair is 0; it must be a positive number"),
        ({"data": {}}, "DataConfig is incomplete"),
        ({"encoder": None}, "encoder is None; it must be set, unless start.model is"),
        ({"start": {"model": "trained"}}, "encoder is 'folder'; it must be set, unless start.model is"),
        (
            {"encoder": None, "start": {"model": "trained", "decoder_as_read_out": True}},
            "start.decoder_as_read_out is True; it must be false, since start.model is trained",
        ),
        ({"data": {"pairs": "x", "black_hot_probability": 1.5}}, "black_hot_probability is 1.5; it must be between"),
        ({"start": {"new_layers": True}}, "start.new_layers is True; it must be false without start.model"),
        ({"data": {"pairs": "x", "damage_probability": -0.1}}, "damage_probability is -0.1; it must be between 0 and"),
        (
            {"data": {"pairs": "x", "damage_weights": {"fog": 2.0}}},
            "damage_weights is {'fog': 2.0}; it must be positive numbers for any of noise, stripes, ",
        ),
        (
            {"data": {"pairs": "x", "damage_weights": {"haze": 0.0}}},
            "damage_weights is {'haze': 0.0}; it must be positive numbers",
        ),
        ({"data": {"pairs": "x", "scale_range": [0.5, 1.5]}}, "scale_range is (0.5, 1.5); it must be at most 1"),
        ({"data": {"pairs": "x", "scale_range": [0.0, 1.0]}}, "scale_range is (0.0, 1.0); it must be two positive"),
        (
            {"data": {"pairs": "x", "streaming": True, "validation_names": "names.txt"}},
            "streaming is True; it must be false with validation_names and left_out",
        ),
        ({"data": {"pairs": "x", "streaming": True, "left_out": ["names.txt"]}}, "streaming is True; it must be false"),
        ({"data": {"pairs": "x", "lone_photos": 3}}, "lone_photos is 3; it must be zero, or more with photos"),
        ({"data": {"pairs": "x", "gamma_range": [2, 1]}}, "gamma_range is (2, 1); it must be two positive numbers"),
    ],
)
def test_what_does_not_fit_is_named(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        build(TrainingConfig, MINIMAL | changes)


def test_pretraining_reads_everything_first():
    values = {"attn_implementation": "sdpa", "image_mean": 0.5, "image_std": 0.5, "encoder": {}}
    with pytest.raises(ValueError, match="read into memory, without streaming"):
        build(PretrainingConfig, {**values, "data": {"pairs": "x", "streaming": True}})


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("accelerate/*.yaml")), ids=lambda path: path.name)
def test_accelerate_knows_every_field_of_a_launch_configuration(path):
    launch = load_config_from_file(str(path))
    assert launch.num_processes >= launch.num_machines >= 1
