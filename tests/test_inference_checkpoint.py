import numpy as np
import pytest
import torch
from conftest import small_model
from transformers import AutoConfig, AutoImageProcessor, AutoModel

from maefuse_hf import MaeFuseImageProcessor
from maefuse_hf.example_scene.scene import render_example_pair
from maefuse_hf.inference.checkpoint import SHIPPED_CHECKPOINT, load_checkpoint


@pytest.fixture(scope="module")
def shipped():
    return load_checkpoint(device="cpu")


def test_the_shipped_checkpoint_is_whole_and_small(shipped):
    model, processor = shipped
    assert not model.training
    assert processor.size_divisor == model.patch_size
    assert sum(path.stat().st_size for path in SHIPPED_CHECKPOINT.rglob("*")) <= 30_000_000
    assert (SHIPPED_CHECKPOINT / "README.md").is_file()


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
def test_it_fuses_warm_people_and_visible_texture(shipped):
    model, processor = shipped
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


def test_a_device_that_is_not_there():
    with pytest.raises(ValueError, match=r"Device 'cuda:99' cannot be used here .* There is cpu"):
        load_checkpoint(device="cuda:99")
    with pytest.raises(ValueError, match="Device 'warp' cannot be used here"):
        load_checkpoint(device="warp")
