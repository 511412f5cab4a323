import json
import re
import shutil

import numpy as np
import pytest
import torch
from conftest import small_model
from transformers import AutoConfig, AutoImageProcessor, AutoModel

from maefuse_hf import MaeFuseImageProcessor
from maefuse_hf.example_scene.scene import render_example_pair
from maefuse_hf.inference.checkpoint import SHIPPED_CHECKPOINT, SHIPPED_CHECKPOINTS, checkpoint_source, load_checkpoint


@pytest.fixture(scope="module")
def shipped():
    return load_checkpoint(device="cpu")


def test_the_shipped_checkpoint_is_whole_and_small(shipped):
    model, processor = shipped
    assert not model.training
    assert processor.size_divisor == model.patch_size
    assert sum(path.stat().st_size for path in SHIPPED_CHECKPOINT.rglob("*")) <= 30_000_000
    assert (SHIPPED_CHECKPOINT / "README.md").is_file()


def test_the_tiny_checkpoint_by_its_name(tmp_path, monkeypatch):
    folder = SHIPPED_CHECKPOINTS["maefuse-tiny"]
    assert sum(path.stat().st_size for path in folder.glob("*.safetensors")) <= 4_000_000
    model, processor = load_checkpoint("maefuse-tiny")
    assert model.num_parameters() < 1_000_000 and processor.size_divisor == model.patch_size
    # a folder of one's own comes first
    monkeypatch.chdir(tmp_path)
    assert checkpoint_source("maefuse-tiny") == folder
    (tmp_path / "maefuse-tiny").mkdir()
    assert checkpoint_source("maefuse-tiny") == "maefuse-tiny"
    assert checkpoint_source("org/maefuse-tiny") == "org/maefuse-tiny" and checkpoint_source(None) == SHIPPED_CHECKPOINT


def test_the_auto_classes_load_it(shipped):
    model, processor = shipped
    assert type(AutoConfig.from_pretrained(SHIPPED_CHECKPOINT)) is type(model.config)
    assert type(AutoModel.from_pretrained(SHIPPED_CHECKPOINT)) is type(model)
    assert type(AutoImageProcessor.from_pretrained(SHIPPED_CHECKPOINT)) is type(processor)


@torch.inference_mode()
def test_it_gives_single_images_back(shipped):
    model, processor = shipped
    infrared, visible = render_example_pair(120, 160)
    inputs = processor(infrared=infrared, visible=visible, return_tensors="pt")
    images = torch.cat([inputs["infrared"], inputs["visible"]])
    restored = model.decode(model.encode(images), model.patch_grid(images)).clamp(0, 1)
    psnr = -10 * (restored - images).square().mean(dim=(1, 2, 3)).log10()
    assert psnr.min() > 36, f"PSNR of infrared and visible: {psnr.tolist()} dB"


@torch.inference_mode()
@pytest.mark.parametrize("name", SHIPPED_CHECKPOINTS)
def test_it_fuses_warm_people_and_visible_texture(name):
    model, processor = load_checkpoint(name, device="cpu")
    infrared, visible = render_example_pair(240, 320)
    inputs = processor(infrared=infrared, visible=visible, return_tensors="pt")
    fused = model(**inputs).fused[0, 0]
    heat, light = inputs["infrared"][0, 0], inputs["visible"][0, 0]
    hot_and_dark = (heat > 0.75) & (light < 0.25)
    assert hot_and_dark.sum() > 100
    assert fused[hot_and_dark].mean() > 0.6
    gradient_x = [image[:, 1:] - image[:, :-1] for image in (fused, light, heat)]
    texture = (gradient_x[1].abs() > 0.15) & (gradient_x[2].abs() < 0.03)
    assert texture.sum() > 100
    kept = (gradient_x[0] * gradient_x[1].sign())[texture].mean() / gradient_x[1].abs()[texture].mean()
    assert kept > 0.6, f"share of the visible gradient that is left: {kept:.2f}"


@torch.inference_mode()
@pytest.mark.parametrize("size", [(64, 64), (61, 97), (37, 200)])
def test_any_size(shipped, size):
    model, processor = shipped
    generator = np.random.default_rng(0)
    visible = generator.integers(0, 256, (*size, 3), dtype=np.uint8)
    inputs = processor(
        infrared=generator.integers(0, 4000, size, dtype=np.uint16), visible=visible, return_tensors="pt"
    )
    image = processor.post_process_image_fusion(model(**inputs), inputs)[0]
    assert (image.height, image.width) == size


def test_a_checkpoint_by_path_and_dtype(tmp_path):
    small_model().save_pretrained(tmp_path)
    MaeFuseImageProcessor(size_divisor=8).save_pretrained(tmp_path)
    model, processor = load_checkpoint(tmp_path, "cpu", torch.bfloat16)
    assert model.dtype == torch.bfloat16
    assert model.device == torch.device("cpu")
    assert processor.size_divisor == 8


def test_attention_of_bfloat16_on_a_cpu(tmp_path):
    for tile_size, kernel in ((4, "eager"), (None, "sdpa")):
        small_model(tile_size=tile_size).save_pretrained(tmp_path)
        MaeFuseImageProcessor(size_divisor=8).save_pretrained(tmp_path)
        model, _ = load_checkpoint(tmp_path, "cpu", torch.bfloat16)
        assert model.config._attn_implementation == model.decoder.block_config._attn_implementation == kernel
        assert load_checkpoint(tmp_path, "cpu")[0].config._attn_implementation == "sdpa"


def test_a_device_that_is_not_there():
    with pytest.raises(ValueError, match=r"Device 'cuda:99' cannot be used here .* There is cpu"):
        load_checkpoint(device="cuda:99")
    with pytest.raises(ValueError, match="Device 'warp' cannot be used here"):
        load_checkpoint(device="warp")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    small_model().save_pretrained(folder)
    MaeFuseImageProcessor(size_divisor=8).save_pretrained(folder)
    return folder


@pytest.fixture
def copied(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


def change(file, **fields):
    """Set fields of a JSON file; "a.b" is field b of a."""
    content = json.loads(file.read_text())
    for name, value in fields.items():
        *path, last = name.split("__")
        holder = content
        for key in path:
            holder = holder[key]
        holder[last] = value
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"decoder_num_attention_heads": 0}, "decoder_num_attention_heads=0; it must be at least 1."),
        ({"fusion_num_attention_heads": 0}, "fusion_num_attention_heads=0; it must be at least 1."),
        ({"encoder_config__num_attention_heads": 0}, "encoder_config.num_attention_heads=0; it must be at least 1."),
        ({"encoder_config__patch_size": 0}, "encoder_config.patch_size=0; it must be at least 1."),
        ({"fusion_layer_norm_eps": float("nan")}, "fusion_layer_norm_eps=nan; finite numbers are needed."),
        ({"image_mean": [0.5, float("nan"), 0.5]}, "image_mean=[0.5, nan, 0.5]; finite numbers are needed."),
        ({"encoder_config__layer_norm_eps": float("inf")}, "encoder_config.layer_norm_eps=inf; finite numbers"),
        ({"image_std": [0.0, 1.0, 1.0]}, "image_std=[0.0, 1.0, 1.0]; images are divided by it"),
        ({"image_std": [1.0, -1.0, 1.0]}, "image_std=[1.0, -1.0, 1.0]; images are divided by it"),
        ({"model_type": "bert"}, "config.json has model_type 'bert'; MaeFuse needs 'maefuse'."),
        ({"tile_size": "16"}, "config.json cannot be used. Validation error for field 'tile_size'"),
        ({"encoder_config__hidden_size": "32"}, "config.json cannot be used. Validation error for field 'hidden_size'"),
    ],
    ids=lambda value: None if isinstance(value, str) else next(iter(value)),
)
def test_a_wrong_configuration_is_said_in_one_line(copied, fields, message):
    change(copied / "config.json", **fields)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        load_checkpoint(copied, "cpu")
    assert "\n" not in str(caught.value)


def test_whole_numbers_stand_for_floating_point_ones(copied):
    whole = {"initializer_range": 1, "image_mean": [0, 0, 0], "image_std": [1, 1, 1], "loss_weights": {"intensity": 1}}
    change(copied / "config.json", **whole, encoder_config__mask_ratio=0)
    config = load_checkpoint(copied, "cpu")[0].config
    assert {name: getattr(config, name) for name in whole} == whole
    assert type(config.initializer_range) is float and type(config.loss_weights["intensity"]) is float


def test_unknown_keys_are_said(copied, caplog):
    load_checkpoint(copied, "cpu")
    assert not [message for message in caplog.messages if "unknown" in message]
    change(copied / "config.json", tile_sise=3)
    load_checkpoint(copied, "cpu")
    assert "The configuration has unknown keys, which change nothing: tile_sise." in caplog.messages


@pytest.mark.parametrize(
    ("setting", "message"),
    [({"tile": 1}, "No such setting: tile"), ({"size_divisor": "8"}, "`size_divisor` is 8. Give a whole number")],
)
def test_a_wrong_preprocessor_configuration(copied, setting, message):
    change(copied / "preprocessor_config.json", **setting)
    with pytest.raises(ValueError, match=message):
        load_checkpoint(copied, "cpu")


@pytest.mark.parametrize("part", ["half", "nothing", "other bytes"])
def test_damaged_weights(copied, part):
    weights = copied / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes({"half": whole[: len(whole) // 2], "nothing": b"", "other bytes": bytes(range(200))}[part])
    with pytest.raises(OSError, match=r"copy: model.safetensors cannot be read \(.*\). Download or copy it again"):
        load_checkpoint(copied, "cpu")


def test_a_pickle_is_not_loaded(copied):
    (copied / "model.safetensors").unlink()
    torch.save(small_model().state_dict(), copied / "pytorch_model.bin")
    with pytest.raises(OSError, match=r"no file named model\.safetensors"):
        load_checkpoint(copied, "cpu")
