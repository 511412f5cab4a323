import json

import pytest
from conftest import SMALL_ENCODER, small_config
from transformers import AutoConfig, ViTMAEConfig

from maefuse_hf import MaeFuseConfig
from maefuse_hf.configuration_maefuse import RENAMED_FIELDS


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
        ({"detail_sigma": 0.0}, "detail_sigma=0.0; it must be a positive number of pixels, or left out"),
        ({"contrast_gain": 0.9}, "contrast_gain=0.9; it must be at least 1, or left out"),
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


def test_former_names_of_fields_load_with_a_warning(tmp_path):
    fields = small_config(tile_size=5, merging_joint_softmax=True).to_dict()
    fields["attention_window"], fields["merging_competition"] = (
        fields.pop("tile_size"),
        fields.pop("merging_joint_softmax"),
    )
    (tmp_path / "config.json").write_text(json.dumps(fields))
    with pytest.warns(FutureWarning, match="(attention_window|merging_competition) is now called"):
        config = MaeFuseConfig.from_pretrained(tmp_path)
    assert config.tile_size == 5 and config.merging_joint_softmax is True
    saved = config.to_dict()
    assert not saved.keys() & RENAMED_FIELDS.keys() and saved["tile_size"] == 5
