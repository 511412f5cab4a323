import json
import re
import warnings

import pytest
from conftest import SMALL_ENCODER, small_config
from transformers import AutoConfig, ViTMAEConfig

from maefuse_hf import MaeFuseConfig
from maefuse_hf.configuration_maefuse import FIELDS_OF_THE_RULE, FORMER_FIELDS


def test_defaults_are_the_papers():
    config = MaeFuseConfig()
    encoder = config.encoder_config
    assert (encoder.model_type, encoder.hidden_size, encoder.num_hidden_layers, encoder.patch_size) == (
        "vit_mae",
        1024,
        24,
        16,
    )
    assert config.decoder_num_hidden_layers == 4
    assert config.fusion_attention == "global"
    assert not config.merging_joint_softmax
    assert config.merging_blocks == 0
    assert config.source_detail_sigma is None
    assert config.detail_gain is None
    assert config.freeze_encoder


def test_fusion_sizes_follow_the_encoder():
    config = small_config()
    assert config.fusion_num_attention_heads == SMALL_ENCODER["num_attention_heads"]
    assert config.fusion_intermediate_size == SMALL_ENCODER["intermediate_size"]
    assert small_config(fusion_num_attention_heads=8).fusion_num_attention_heads == 8


def test_round_trip_through_a_folder_and_the_auto_class(tmp_path):
    config = small_config(fusion_attention="local", fusion_window=5, image_mean=[0.1, 0.2, 0.3])
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert type(loaded) is MaeFuseConfig
    assert type(loaded.encoder_config) is ViTMAEConfig
    assert loaded.to_json_string() == config.to_json_string()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"fusion_window": 4}, "fusion_window=4; it must be odd"),
        ({"merging_blocks": -1}, "merging_blocks=-1; it must be a number of blocks, zero or more"),
        (
            {"source_detail_sigma": 0.0},
            "source_detail_sigma=0.0; it must be a positive number",
        ),
        ({"detail_tolerance": -1.0}, "detail_tolerance=-1.0; it must be a positive number of grey values."),
        ({"detail_gain": 0.5}, "detail_gain=0.5; it must be a factor of one or more, or left out."),
        ({"detail_limit": 0.0}, "detail_limit=0.0; it must be a positive number."),
        (
            {"source_detail_sigma": 101.0},
            "it must be a positive number of pixels, 100.0 at most, or",
        ),
        ({"decoder_num_hidden_layers": -1}, "decoder_num_hidden_layers=-1; it must be a number of blocks"),
        (
            {"encoder_config": {**SMALL_ENCODER, "num_hidden_layers": -1}},
            "encoder_config.num_hidden_layers=-1; it must be a number of blocks",
        ),
        ({"tile_overlap": -1}, "tile_overlap=-1; it must be a number of tokens"),
        ({"tile_size": 0}, "tile_size=0; it must be a positive number of tokens"),
        ({"fusion_num_attention_heads": 5}, "hidden_size=32 cannot be split into 5 attention heads"),
        ({"decoder_num_attention_heads": 5}, "decoder_hidden_size=24 cannot be split into 5"),
        ({"image_mean": [0.5]}, "image_mean has 1 and image_std 3 numbers; the encoder has 3 channels"),
        ({"encoder_config": {"model_type": "vit"}}, "model_type 'vit'; MaeFuse needs 'vit_mae'"),
        ({"encoder_config": SMALL_ENCODER | {"image_size": 30}}, "image_size=30 is no multiple of patch_size=8"),
        ({"encoder_config": SMALL_ENCODER | {"patch_size": (8, 8)}}, "must be single integers"),
        (
            {
                "encoder_config": SMALL_ENCODER | {"num_channels": 2},
                "image_mean": [0.5, 0.5],
                "image_std": [1.0, 1.0],
            },
            "num_channels=2; one (luminance) or three",
        ),
    ],
)
def test_sizes_that_do_not_fit_are_refused(fields, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")):
        small_config(**fields)


@pytest.mark.parametrize("field", ["fusion_attention", "position_embedding"])
def test_unknown_choices_are_refused(field):
    with pytest.raises(Exception, match=field):
        small_config(**{field: "other"})


def test_former_fields_load_with_a_warning(tmp_path):
    fields = small_config(tile_size=5, merging_joint_softmax=True).to_dict()
    for name in ("tile_size", "merging_joint_softmax", "loss_weights"):
        del fields[name]
    fields |= {"attention_window": 5, "merging_competition": True, "gradient_loss_weight": 3.0}
    (tmp_path / "config.json").write_text(json.dumps(fields))
    with pytest.warns(FutureWarning) as warned:
        config = MaeFuseConfig.from_pretrained(tmp_path)
    said = " ".join(str(warning.message) for warning in warned)
    assert all(f"{old} is now {new}" in said for old, (new, _) in FORMER_FIELDS.items())
    assert config.tile_size == 5 and config.merging_joint_softmax is True
    assert config.loss_weights == {"intensity": 1.0, "gradient": 3.0}
    assert not config.to_dict().keys() & FORMER_FIELDS.keys()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"contrast_gain": 1.7, "detail_sigma": 3.0}, "contrast_gain, detail_sigma"),
        ({"darker_weight": 0.7, "contrast_outliers": 0.005}, "darker_weight"),
    ],
)
def test_fields_of_the_rule_are_dropped_with_a_warning(fields, named):
    with pytest.warns(FutureWarning, match=rf"^{re.escape(named)}: version 0\.1\.0 refined its images by these"):
        config = small_config(**fields)
    assert not any(hasattr(config, name) for name in fields)
    assert not config.to_dict().keys() & set(FIELDS_OF_THE_RULE)


def test_a_rule_that_was_off_is_not_missed():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config = small_config(contrast_gain=None, darker_weight=None, contrast_outliers=0.005)
    assert config.to_dict() == small_config().to_dict()


def test_unknown_keys_of_the_encoder_are_said_and_those_of_transformers_are_not(caplog):
    encoder = {**small_config().to_dict()["encoder_config"], "torch_dtype": "float32", "mask_ration": 0.5, "stride": 2}
    MaeFuseConfig.from_dict({"encoder_config": encoder, "tile_sise": 3})
    assert caplog.messages == [
        "The configuration has unknown keys, which change nothing: tile_sise, encoder_config.mask_ration, "
        "encoder_config.stride."
    ]


def test_what_a_configuration_gives_back_has_no_unknown_keys(caplog):
    """Training makes a model of another one's fields; transformers adds keys of its own to them, output_attentions for
    one, which no config.json holds."""
    config = small_config()
    values = config.to_dict()
    assert "output_attentions" in values and "output_attentions" in values["encoder_config"]
    again = MaeFuseConfig.from_dict({**values, "merging_blocks": 1})
    assert again.to_dict() == {**values, "merging_blocks": 1}
    assert MaeFuseConfig(**values).to_dict() == values
    assert caplog.messages == []
