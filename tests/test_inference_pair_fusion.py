import numpy as np
import pytest
import torch
from conftest import small_model

from maefuse_hf import MaeFuseImageProcessor
from maefuse_hf.example_scene.scene import render_example_pair
from maefuse_hf.inference.pair_fusion import fuse_pair


@pytest.fixture(scope="module")
def model():
    return small_model()


def test_the_image_is_what_processor_and_model_make(model):
    processor = MaeFuseImageProcessor(size_divisor=8)
    infrared, visible = render_example_pair(68, 84)
    fused = fuse_pair(model, processor, infrared, visible, "cfm")
    inputs = processor(infrared=infrared, visible=visible, return_tensors="pt")
    with torch.no_grad():
        outputs = model(**inputs, fusion="cfm")
    assert torch.equal(fused.inputs["visible"], inputs["visible"])
    assert torch.equal(fused.outputs.fused, outputs.fused) and not fused.outputs.fused.requires_grad
    expected = processor.post_process_image_fusion(outputs, inputs)[0]
    assert fused.image.size == (84, 68)
    assert np.array_equal(np.asarray(fused.image), np.asarray(expected))


def test_overrides_go_to_the_processor_and_strategies_to_the_model(model):
    processor = MaeFuseImageProcessor(size_divisor=8)
    infrared, visible = render_example_pair(68, 84)
    small = fuse_pair(model, processor, infrared.resize((42, 34)), visible, resize_infrared=True)
    assert small.image.size == (84, 68)
    with pytest.raises(ValueError, match="resize_infrared=True"):
        fuse_pair(model, processor, infrared.resize((42, 34)), visible)
    with pytest.raises(ValueError, match="needs fusion='mfm'"):
        fuse_pair(model, processor, infrared, visible, "mean", "infrared")
