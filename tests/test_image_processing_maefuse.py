"""Images in, tensors out, images back: expectations by hand, every form of input, every message."""

import inspect
import json
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers.dynamic_module_utils
from PIL import Image
from transformers import AutoImageProcessor, PreTrainedConfig
from transformers.dynamic_module_utils import get_class_from_dynamic_module

from maefuse_hf.colour import recoloured, replace_luminance
from maefuse_hf.eight_bit import recoloured_8_bit, resize_8_bit, rgb_to_ycrcb
from maefuse_hf.image_processing_maefuse import MaeFuseImageProcessor, pad_to_multiple

SIDEWAYS = 6  # EXIF orientation: the stored image must be turned clockwise by a quarter.
ORIENTATION = 0x0112


@pytest.fixture
def processor() -> MaeFuseImageProcessor:
    return MaeFuseImageProcessor()


def noise(*shape: int, dtype=np.uint8, high: int = 256, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, high, shape).astype(dtype)


# The pure function


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([10, 20, 30], [10, 20, 30, 20]),
        ([10, 20, 30, 40], [10, 20, 30, 40]),
        ([10, 20], [10, 20, 10, 20]),
        ([10], [10, 10, 10, 10]),
    ],
)
def test_padding_reflects(row, expected):
    padded = pad_to_multiple(np.array(row)[None, None], 4)
    assert padded.shape == (1, 4, 4)
    assert (padded == expected).all()
    padded = pad_to_multiple(np.array(row)[None, :, None], 4)
    assert (padded[0] == np.array(expected)[:, None]).all()


# What comes out


def test_outputs(processor):
    infrared, visible = noise(37, 53), noise(37, 53, 3, seed=1)
    inputs = processor(infrared=infrared, visible=visible, return_tensors="pt")
    assert set(inputs) == {"infrared", "visible", "visible_rgb", "original_sizes"}
    assert (inputs["infrared"].shape, inputs["infrared"].dtype) == ((1, 1, 48, 64), torch.float32)
    assert (inputs["visible"].shape, inputs["visible"].dtype) == ((1, 1, 48, 64), torch.float32)
    assert inputs["visible_rgb"].dtype == torch.uint8
    assert np.array_equal(inputs["visible_rgb"][0], visible.transpose(2, 0, 1))
    assert inputs["original_sizes"].dtype == torch.int64
    assert inputs["original_sizes"].tolist() == [[37, 53]]
    assert np.array_equal(inputs["infrared"][0, 0, :37, :53], infrared.astype(np.float32) / 255)
    expected = visible @ np.array([0.299, 0.587, 0.114]) / 255
    np.testing.assert_allclose(inputs["visible"][0, 0, :37, :53], expected, atol=1e-6)
    assert torch.equal(inputs["visible"][..., 37, :53], inputs["visible"][..., 35, :53])
    assert torch.equal(inputs["visible"][..., :37, 53], inputs["visible"][..., :37, 51])


@pytest.mark.parametrize("return_tensors", [None, "np"])
def test_numpy_outputs(processor, return_tensors):
    inputs = processor(noise(16, 16), noise(16, 16, 3), return_tensors)
    assert all(isinstance(value, np.ndarray) for value in inputs.values())


def test_cast_to_bfloat16_spares_colours_and_sizes(processor):
    inputs = processor(noise(20, 20), noise(20, 20, 3), return_tensors="pt").to(torch.bfloat16)
    assert inputs["visible"].dtype == torch.bfloat16
    assert (inputs["visible_rgb"].dtype, inputs["original_sizes"].dtype) == (torch.uint8, torch.int64)


def test_signature_names_the_pair():
    for method in (MaeFuseImageProcessor.__call__, MaeFuseImageProcessor.preprocess):
        assert list(inspect.signature(method).parameters) == [
            "self",
            "infrared",
            "visible",
            "return_tensors",
            "kwargs",
        ]


@pytest.mark.parametrize(("height", "width"), [(1, 2), (2, 1), (1, 40), (3, 5), (16, 16), (17, 15)])
def test_any_size_is_padded(processor, height, width):
    inputs = processor(noise(height, width), noise(height, width, 3), return_tensors="pt")
    padded = (1, 1, -(-height // 16) * 16, -(-width // 16) * 16)
    assert inputs["infrared"].shape == inputs["visible"].shape == padded
    assert processor.post_process_image_fusion(inputs["visible"], inputs)[0].size == (width, height)


def test_size_divisor(processor):
    assert processor(noise(20, 20), noise(20, 20), size_divisor=1)["visible"].shape == (1, 1, 20, 20)
    assert processor(noise(20, 20), noise(20, 20), size_divisor=14)["visible"].shape == (1, 1, 28, 28)


# What goes in


def every_form(array: np.ndarray, folder) -> dict[str, object]:
    """The same (H, W, 3) uint8 image in each accepted form."""
    Image.fromarray(array).save(folder / "image.png")
    channels_first = array.transpose(2, 0, 1)
    return {
        "PIL image": Image.fromarray(array),
        "path": folder / "image.png",
        "path as text": str(folder / "image.png"),
        "numpy, channels last": array,
        "numpy, channels first": channels_first,
        "numpy batch": array[None],
        "torch, channels first": torch.tensor(channels_first),
        "torch, channels last": torch.tensor(array),
        "torch batch": torch.tensor(channels_first)[None],
        "list": [array],
        "tuple": (array,),
        "float": array / 255,
        "float tensor with gradient": torch.tensor(channels_first / 255, requires_grad=True),
        "int64": torch.tensor(channels_first).long(),
        "big endian": array.astype(">i4"),
        "RGBA": Image.fromarray(np.dstack([array, noise(*array.shape[:2], seed=9)])),
        "RGBA array": np.dstack([array, noise(*array.shape[:2], seed=9)]),
    }


def test_every_form_gives_the_same(processor, tmp_path):
    array = noise(18, 20, 3)
    expected = processor(array, array, return_tensors="pt")
    for name, image in every_form(array, tmp_path).items():
        inputs = processor(image, image, return_tensors="pt")
        assert torch.equal(inputs["visible_rgb"], expected["visible_rgb"]), name
        torch.testing.assert_close(inputs["infrared"], expected["infrared"], atol=1e-6, rtol=0, msg=name)
        torch.testing.assert_close(inputs["visible"], expected["visible"], atol=1e-6, rtol=0, msg=name)


def test_half_precision_images(processor):
    grey = torch.tensor([[0.0, 0.25], [0.5, 1.0]])
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        inputs = processor(grey.to(dtype), grey.to(dtype), return_tensors="pt")
        assert torch.equal(inputs["infrared"][0, 0, :2, :2], grey)


def test_ambiguous_layout_is_decided_by_the_library(processor):
    array = noise(3, 5, 3)
    assert processor(array, array)["original_sizes"].tolist() == [[3, 5]]
    assert processor(torch.tensor(array), torch.tensor(array))["original_sizes"].tolist() == [[5, 3]]


def test_grey_visible_becomes_three_equal_channels(processor):
    grey = noise(16, 16)
    inputs = processor(grey, grey)
    assert np.array_equal(inputs["visible_rgb"][0], np.stack([grey] * 3))
    assert np.array_equal(inputs["visible"], inputs["infrared"])


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_alpha_is_dropped_not_composited(processor, mode):
    grey = noise(16, 16)
    transparent = Image.fromarray(np.zeros((16, 16), np.uint8))
    bands = {
        "RGBA": [Image.fromarray(grey)] * 3,
        "LA": [Image.fromarray(grey)],
        "PA": [Image.fromarray(grey)],
    }
    if mode == "PA":
        image = Image.fromarray(grey)
        image.putpalette([level for level in range(256) for _ in range(3)])
        image = image.convert("PA")
        image.putalpha(transparent)
    else:
        image = Image.merge(mode, [*bands[mode], transparent])
    assert image.mode == mode
    assert np.array_equal(processor(grey, image)["visible_rgb"][0], np.stack([grey] * 3))


def test_palette_cmyk_and_one_bit_modes(processor):
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), mode=None)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    assert palette.mode == "P"
    cmyk = Image.new("CMYK", (2, 1))
    cmyk.putpixel((1, 0), (0, 255, 255, 0))
    one_bit = Image.new("1", (2, 1))
    one_bit.putpixel((1, 0), 1)
    for image, expected in (
        (palette, [[10, 20, 30], [40, 50, 60]]),
        (cmyk, [[255, 255, 255], [255, 0, 0]]),
        (one_bit, [[0, 0, 0], [255, 255, 255]]),
    ):
        visible_rgb = processor(np.array([[0, 9]], np.uint8), image)["visible_rgb"]
        assert visible_rgb[0, :, 0].T.tolist() == expected, image.mode


@pytest.mark.parametrize("name", ["image.jpg", "image.png", "image.tif"])
def test_exif_orientation_is_applied(processor, tmp_path, name):
    stored = np.zeros((16, 32), np.uint8)
    stored[:, :16] = 200
    exif = Image.Exif()
    exif[ORIENTATION] = SIDEWAYS
    Image.fromarray(stored).save(tmp_path / name, exif=exif)
    # Turned clockwise, the bright left half is on top.
    expected = np.rot90(stored, -1) / 255
    for image in (str(tmp_path / name), tmp_path / name):
        inputs = processor(image, image)
        assert inputs["original_sizes"].tolist() == [[32, 16]]
        np.testing.assert_allclose(inputs["infrared"][0, 0], expected, atol=0.01)
    if name != "image.tif":
        image = Image.open(tmp_path / name)
        np.testing.assert_allclose(processor(image, image)["visible"][0, 0], expected, atol=0.01)


def test_colour_infrared_is_taken_as_luminance(processor):
    infrared = np.zeros((1, 2, 3), np.uint8)
    infrared[0, 1] = 255, 0, 0
    assert processor(infrared, infrared)["infrared"][0, 0, 0, :2].tolist() == pytest.approx([0, 0.299])


# Depth


def raw_forms(raw: np.ndarray, folder) -> dict[str, object]:
    """The same (H, W) raw image of up to 16 bits in each accepted form."""
    Image.fromarray(raw).save(folder / "raw.png")
    Image.fromarray(raw).save(folder / "raw.tif")
    return {
        "array": raw,
        "big endian array": raw.astype(">u2"),
        "uint16 tensor": torch.from_numpy(raw),
        "int32": raw.astype(np.int32),
        "int64 tensor": torch.tensor(raw.astype(np.int64)),
        "I;16": Image.fromarray(raw),
        "I;16B": Image.fromarray(raw.astype(">u2")),
        "I": Image.fromarray(raw.astype(np.int32)),
        "F": Image.fromarray(raw.astype(np.float32)),
        "PNG": folder / "raw.png",
        "TIFF": folder / "raw.tif",
    }


@pytest.mark.parametrize("settings", [{}, {"infrared_range": (1000, 31000)}])
def test_deep_infrared_is_scaled_not_clipped(processor, tmp_path, settings):
    raw = noise(20, 30, dtype=np.uint16, high=2**15)
    low, high = settings.get("infrared_range") or np.percentile(raw, (0.1, 99.9))
    expected = ((raw.astype(np.float64) - low) / (high - low)).clip(0, 1)
    for name, image in raw_forms(raw, tmp_path).items():
        inputs = processor(image, noise(20, 30, 3), **settings)
        np.testing.assert_allclose(inputs["infrared"][0, 0, :20, :30], expected, atol=1e-6, err_msg=name)


def test_percentiles_by_hand(processor):
    raw = np.arange(5, dtype=np.uint16).reshape(1, 5) * 1000
    inputs = processor(raw, noise(1, 5), percentiles=(25, 75))
    # The quartiles are 1000 and 3000.
    assert inputs["infrared"][0, 0, 0, :5].tolist() == [0, 0, 0.5, 1, 1]


def test_range_is_in_raw_units_for_every_depth(processor):
    for infrared, limits in (
        (np.array([[0, 50, 100, 200]], np.uint8), (50, 150)),
        (np.array([[0.0, 0.2, 0.4, 0.8]]), (0.2, 0.6)),
        (np.array([[-40.0, 0.0, 40.0, 900.0]]), [0, 80]),
        (np.array([[-40, 0, 40, 900]], np.int16), [0, 80.0]),
    ):
        inputs = processor(infrared, noise(1, 4), infrared_range=limits)
        assert inputs["infrared"][0, 0, 0, :4].tolist() == pytest.approx([0, 0, 0.5, 1], abs=1e-6)


def test_visible_range(processor):
    visible = np.array([[1000, 2000, 3000]], np.uint16)
    inputs = processor(noise(1, 3), visible, visible_range=(1000, 5000))
    assert inputs["visible_rgb"][0, 0, 0].tolist() == [0, 64, 128]


def test_wide_integers_that_fit_in_8_bits_are_8_bit(processor):
    image = np.array([[0, 51], [102, 204]])
    assert np.array_equal(processor(image, image)["visible_rgb"][0, 0], image)
    # 16-bit pixels never are: a dark raw frame is still a raw frame.
    raw = processor(image.astype(np.uint16), image)["infrared"]
    assert (raw[0, 0, :2, :2].min(), raw[0, 0, :2, :2].max()) == (0, 1)


def test_float_mode_in_unit_range_is_taken_as_it_stands(processor):
    values = np.array([[0.25, 0.5]], np.float32)
    assert processor(Image.fromarray(values), noise(1, 2))["infrared"][0, 0, 0, :2].tolist() == [0.25, 0.5]


def test_even_ground_with_one_hot_pixel_keeps_it(processor):
    raw = np.full((100, 100), 7000, np.uint16)
    raw[50, 50] = 9000
    infrared = processor(raw, noise(100, 100))["infrared"][0, 0, :100, :100]
    assert (infrared[50, 50], infrared.sum()) == (1, 1)


def test_large_offsets_keep_their_precision(processor):
    raw = np.array([[0, 1, 2, 4]]) + 2**30
    inputs = processor(raw, noise(1, 4), percentiles=(0, 100))
    assert inputs["infrared"][0, 0, 0, :4].tolist() == [0, 0.25, 0.5, 1]


def test_deep_visible_has_one_scale_for_all_channels(processor):
    visible = np.array([[[0, 1000, 2000], [4000, 3000, 0]]], np.uint16)
    inputs = processor(noise(1, 2), visible, percentiles=(0, 100))
    # 255 / 4 = 63.75 per 1000.
    assert inputs["visible_rgb"][0, :, 0].T.tolist() == [[0, 64, 128], [255, 191, 0]]
    expected = [0.587 * 0.25 + 0.114 * 0.5, 0.299 + 0.587 * 0.75]
    assert inputs["visible"][0, 0, 0, :2].tolist() == pytest.approx(expected)


def test_an_image_does_not_depend_on_its_neighbours(processor):
    infrared = [noise(20, 20, dtype=np.uint16, high=high, seed=high) for high in (300, 5000, 60000)]
    visible = [noise(20, 20, 3, seed=seed) for seed in range(3)]
    together = processor(infrared, visible)
    for index in range(3):
        alone = processor(infrared[index], visible[index])
        for key in alone:
            assert np.array_equal(together[key][index], alone[key][0]), key


# Sizes


def test_resize_infrared_down_by_hand(processor):
    infrared = np.array([[0, 10000, 30000, 60000]], np.uint16)
    inputs = processor(infrared, noise(1, 2), resize_infrared=True, infrared_range=(0, 60000))
    # Halving: a triangle of two new pixels' width, its weights 3, 3, 1 over what lies in the image, sum 7.
    expected = [(3 * 0 + 3 * 10 + 30) / 7 / 60, (10 + 3 * 30 + 3 * 60) / 7 / 60]
    assert inputs["infrared"][0, 0, 0, :2].tolist() == pytest.approx(expected)


def test_resize_infrared_up_by_hand(processor):
    infrared = np.array([[0, 40000]], np.uint16)
    inputs = processor(infrared, noise(1, 4), resize_infrared=True, infrared_range=(0, 40000))
    assert inputs["infrared"][0, 0, 0, :4].tolist() == pytest.approx([0, 0.25, 0.75, 1])
    assert inputs["original_sizes"].tolist() == [[1, 4]]


@pytest.mark.parametrize(
    ("size", "resized"),
    [
        ({"height": 24, "width": 50}, [24, 50]),
        ({"shortest_edge": 20}, [20, 40]),
        ({"shortest_edge": 20, "longest_edge": 30}, [15, 30]),
        (20, [20, 40]),
        ([24, 50], [24, 50]),
    ],
)
def test_size(processor, size, resized):
    visible = noise(30, 60, 3)
    inputs = processor(noise(30, 60), visible, return_tensors="pt", size=size)
    assert inputs["resized_sizes"].tolist() == [resized]
    assert inputs["original_sizes"].tolist() == [[30, 60]]
    assert inputs["visible"].shape == inputs["infrared"].shape
    assert inputs["visible"].shape[2:] == tuple(-(-edge // 16) * 16 for edge in resized)
    assert np.array_equal(inputs["visible_rgb"][0], visible.transpose(2, 0, 1))
    assert processor.post_process_image_fusion(inputs["visible"], inputs)[0].size == (60, 30)


@pytest.mark.parametrize(
    "size",
    [
        *(-5, 0, 1 << 17, [-5, 5], {"height": 3, "width": 0}, {"longest_edge": 4}),
        *({"shortest_edge": 8, "longest_edge": -4}, {"shortest_edge": -8}, {"max_height": 5, "max_width": 5}),
    ],
)
def test_sizes_that_are_none(processor, size):
    with pytest.raises(ValueError, match=r"`size` is \{.* each a whole number from 1 to 65536"):
        processor(noise(30, 60), noise(30, 60), size=size)
    with pytest.raises(ValueError, match="`size` is"):
        MaeFuseImageProcessor(size=size)


@pytest.mark.parametrize("kwargs", [{"size": "x"}, {"size": 2.5}, {"infrared_range": ("a", "b")}])
def test_wrong_types_in_a_call_are_said_in_one_line(processor, kwargs):
    with pytest.raises(ValueError, match=next(iter(kwargs))) as error:
        processor(noise(30, 60), noise(30, 60), **kwargs)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("divisor", [0, -16, 1.5, True, 10**9])
def test_size_divisors_that_are_none(divisor):
    with pytest.raises(ValueError, match=r"`size_divisor` is .* whole number from 1 to 65536"):
        MaeFuseImageProcessor(size_divisor=divisor)


@pytest.mark.parametrize("percentiles", ["ab", 3, (None, 1), (float("nan"), 1)])
def test_percentiles_that_are_none(percentiles):
    with pytest.raises(ValueError, match=r"`percentiles` is .* two finite numbers"):
        MaeFuseImageProcessor(percentiles=percentiles)


def test_size_uses_the_filter(processor):
    visible = np.array([[0, 100, 200, 100]], np.uint8)
    for resample, expected in ((Image.Resampling.BOX, [50, 150]), (Image.Resampling.NEAREST, [100, 100])):
        inputs = processor(visible, visible, size={"height": 1, "width": 2}, resample=resample)
        assert (inputs["visible"][0, 0, 0, :2] * 255).tolist() == pytest.approx(expected, abs=1e-4)


def test_do_resize_false_switches_a_configured_size_off():
    processor = MaeFuseImageProcessor(size={"height": 16, "width": 16})
    inputs = processor(noise(30, 60), noise(30, 60), do_resize=False)
    assert inputs["visible"].shape == (1, 1, 32, 64)
    assert "resized_sizes" not in inputs
    assert processor(noise(30, 60), noise(30, 60))["visible"].shape == (1, 1, 16, 16)


def test_different_sizes_share_a_batch_under_size(processor):
    visible = [noise(20, 30, 3), noise(25, 28, 3, seed=1)]
    infrared = [noise(10, 10), noise(25, 28)]
    size = {"height": 32, "width": 32}
    inputs = processor(infrared, visible, return_tensors="pt", size=size, resize_infrared=True)
    assert inputs["visible"].shape == inputs["infrared"].shape == (2, 1, 32, 32)
    assert inputs["visible_rgb"].shape == (2, 3, 25, 30)
    assert np.array_equal(inputs["visible_rgb"][0, :, :20], visible[0].transpose(2, 0, 1))
    assert not inputs["visible_rgb"][0, :, 20:].any() and not inputs["visible_rgb"][1, :, :, 28:].any()
    images = processor.post_process_image_fusion(inputs["visible"], inputs)
    assert [image.size for image in images] == [(30, 20), (28, 25)]


# The way back


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(32, 48), (37, 53), (1, 7)])
def test_visible_luminance_gives_the_visible_image_back(processor, dtype, shape):
    visible = [noise(*shape, 3, seed=seed) for seed in range(2)]
    inputs = processor([noise(*shape)] * 2, visible, return_tensors="pt")
    fused = inputs["visible"].to(dtype)
    for outputs in (fused, SimpleNamespace(fused=fused)):
        images = processor.post_process_image_fusion(outputs, inputs)
        assert [image.mode for image in images] == ["RGB", "RGB"]
        assert all(np.array_equal(image, array) for image, array in zip(images, visible, strict=True))


def test_all_colours_survive_the_round_trip(processor):
    levels = np.arange(0, 256, 5, dtype=np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(len(levels) ** 2, -1, 3)
    inputs = processor(cube, cube, return_tensors="pt")
    assert np.array_equal(processor.post_process_image_fusion(inputs["visible"], inputs)[0], cube)


def test_deep_visible_comes_back_as_its_8_bit_colours(processor):
    visible = noise(30, 40, 3, dtype=np.uint16, high=2**14)
    inputs = processor(noise(30, 40), visible, return_tensors="pt")
    image = processor.post_process_image_fusion(inputs["visible"], inputs)[0]
    assert np.array_equal(np.asarray(image).transpose(2, 0, 1), inputs["visible_rgb"][0])


def test_numpy_inputs_and_float_visible_come_back(processor):
    visible = noise(17, 19, 3)
    inputs = processor(noise(17, 19), visible / 255)
    assert np.array_equal(processor.post_process_image_fusion(inputs["visible"], inputs)[0], visible)


def test_fused_luminance_replaces_the_visible_one(processor):
    visible = np.array([[[100, 150, 200], [0, 0, 255]]], np.uint8)
    inputs = processor(noise(1, 2), visible, return_tensors="pt")
    fused = torch.zeros(1, 1, 16, 16)
    fused[0, 0, 0, :2] = torch.tensor([160.75, 0.114 * 255 + 10]) / 255
    image = processor.post_process_image_fusion(fused, inputs)[0]
    assert np.asarray(image).tolist() == [[[120, 170, 220], [10, 10, 255]]]


def test_luminance_is_resized_back_with_bicubic(processor):
    visible = noise(32, 64, 3, high=100) + np.uint8(78)
    inputs = processor(noise(32, 64), visible, return_tensors="pt", size={"height": 20, "width": 24})
    fused = torch.full((1, 1, 32, 32), 0.9)
    fused[..., :20, :24] = torch.linspace(0.45, 0.55, 24)
    image = np.asarray(processor.post_process_image_fusion(fused, inputs)[0])
    wide = Image.fromarray(fused[0, 0, :20, :24].numpy()).resize((64, 32), Image.Resampling.BICUBIC)
    expected = replace_luminance(visible.transpose(2, 0, 1), np.asarray(wide)[None])
    assert np.array_equal(image.transpose(2, 0, 1), expected)


@pytest.mark.parametrize(
    ("fused", "message"),
    [
        (
            torch.zeros(1, 1, 16, 16),
            "has the shape (1, 1, 16, 16), these inputs need (1, 1, 32, 32). Give the model's",
        ),
        (torch.zeros(2, 1, 32, 32), "has the shape (2, 1, 32, 32), these inputs need (1, 1, 32, 32)"),
        (torch.zeros(1, 3, 32, 32), "has the shape (1, 3, 32, 32), these inputs need"),
        (SimpleNamespace(fused=None), "has the shape (), these inputs need"),
        (torch.full((1, 1, 32, 32), torch.nan), "holds NaN or infinity. Check the weights"),
    ],
)
def test_outputs_that_do_not_fit_the_inputs(processor, fused, message):
    inputs = processor(noise(20, 20), noise(20, 20), return_tensors="pt")
    with pytest.raises(ValueError, match=re.escape(message)):
        processor.post_process_image_fusion(fused, inputs)


# Whole grey values, and colours that are resized too

SQUARE = {"height": 32, "width": 32}


def test_eight_bit_inputs_hold_whole_grey_values():
    infrared, visible = noise(37, 53), noise(37, 53, 3, seed=1)
    inputs = MaeFuseImageProcessor(size=SQUARE, eight_bit=True)(infrared, visible)
    luminance = rgb_to_ycrcb(visible.transpose(2, 0, 1))[:1]
    for key, plane in (("infrared", infrared[None]), ("visible", luminance)):
        expected = resize_8_bit(plane, (32, 32), Image.Resampling.BILINEAR)
        assert np.array_equal(np.rint(inputs[key][0] * 255), expected)
        np.testing.assert_allclose(inputs[key][0] * 255, expected, atol=1e-4)


def test_eight_bit_pads_without_a_size():
    visible = noise(30, 40, 3)
    inputs = MaeFuseImageProcessor(eight_bit=True)(noise(30, 40), visible)
    assert inputs["visible"].shape == (1, 1, 32, 48)
    assert np.array_equal(
        np.rint(inputs["visible"][0, :, :30, :40] * 255), rgb_to_ycrcb(visible.transpose(2, 0, 1))[:1]
    )


@pytest.mark.parametrize(("eight_bit", "expected"), [(False, recoloured), (True, recoloured_8_bit)])
@pytest.mark.parametrize("resize_colour", [False, True])
@pytest.mark.parametrize("size", [None, {"height": 20, "width": 24}])
def test_the_way_back(eight_bit, expected, resize_colour, size):
    processor = MaeFuseImageProcessor(eight_bit=eight_bit, resize_colour=resize_colour, size=size)
    visible = noise(30, 40, 3)
    inputs = processor(noise(30, 40), visible, return_tensors="pt")
    fused = torch.rand(inputs["visible"].shape, generator=torch.Generator().manual_seed(0))
    height, width = (20, 24) if size else (30, 40)
    resample = Image.Resampling.BILINEAR if resize_colour else None
    image = expected(visible.transpose(2, 0, 1), fused[0, :, :height, :width].numpy(), resample)
    assert np.array_equal(processor.post_process_image_fusion(fused, inputs)[0], image.transpose(1, 2, 0))


@pytest.mark.parametrize("setting", ["eight_bit", "resize_colour"])
def test_settings_of_both_ways_cannot_be_overridden_in_a_call(processor, setting):
    with pytest.raises(TypeError, match=f"{setting}: the way back needs the same setting; give it to the constructor"):
        processor(GOOD, GOOD_RGB, **{setting: True})


# Errors

GOOD, GOOD_RGB = noise(20, 24), noise(20, 24, 3)


@pytest.mark.parametrize(
    ("infrared", "visible", "message"),
    [
        (None, GOOD_RGB, "infrared: no image came. Give an infrared and a visible image"),
        (GOOD, None, "visible: no image came."),
        ([], [], "infrared: no image came."),
        (
            [GOOD, GOOD],
            [GOOD_RGB],
            "2 infrared and 1 visible images came. Give one visible image for each",
        ),
        (GOOD[:16], GOOD_RGB, "infrared has the size (16, 24), visible has (20, 24) (height, width)."),
        (GOOD[:16], GOOD_RGB, "resize_infrared=True (on the command line --resize-infrared)"),
        ([GOOD, GOOD[:, :9]], [GOOD_RGB] * 2, "infrared[1] has the size (20, 9), visible[1] has (20, 24)"),
        ([GOOD, GOOD[:9]], [GOOD_RGB, GOOD_RGB[:9]], "have the sizes (20, 24), (9, 24) (height, width)"),
        ([GOOD, GOOD[:9]], [GOOD_RGB, GOOD_RGB[:9]], "Make one call for each size, or set `size`"),
        (5, GOOD_RGB, "infrared: int is no image. Give a path, PIL image, numpy array or torch tensor."),
        ([GOOD, None], [GOOD_RGB] * 2, "infrared[1]: NoneType is no image."),
        (GOOD > 9, GOOD_RGB, "infrared: pixels have the dtype bool. Give uint8, integers of 16 bits or more"),
        (torch.tensor(GOOD) > 9, GOOD_RGB, "infrared: pixels have the dtype bool."),
        (GOOD, GOOD_RGB.astype(np.int8), "visible: pixels have the dtype int8."),
        (GOOD.astype(complex), GOOD_RGB, "infrared: pixels have the dtype complex128."),
        (GOOD.astype(object), GOOD_RGB, "infrared: pixels have the dtype object."),
        (
            GOOD.ravel(),
            GOOD_RGB,
            "infrared: the shape is (480,). Give (height, width), or three dimensions with 1, 3",
        ),
        (GOOD[None, None, None], GOOD_RGB, "infrared: the shape is (1, 1, 1, 20, 24)."),
        ([GOOD[None, None]], GOOD_RGB, "infrared: the shape is (1, 1, 20, 24)."),
        (GOOD, noise(20, 24, 2), "visible: the shape is (20, 24, 2)."),
        (GOOD[:0], GOOD_RGB, "infrared: the shape is (0, 24)."),
        (GOOD, Image.new("RGB", (0, 4)), "visible: the shape is (4, 0, 3)."),
        (GOOD * np.nan, GOOD_RGB, "infrared: the image holds NaN or infinity."),
        (GOOD, GOOD_RGB / np.float64(np.inf) + np.inf, "visible: the image holds NaN or infinity."),
        (
            GOOD.astype(float),
            GOOD_RGB,
            "infrared: floating-point pixels run from 0 to 255 and leave [0, 1]. Divide by",
        ),
        (
            GOOD / 255 - 0.5,
            GOOD_RGB,
            "infrared: floating-point pixels run from -0.5 to 0.5 and leave [0, 1].",
        ),
        (
            GOOD * 0 + 17,
            GOOD_RGB,
            "infrared: the image has no content, every pixel is 17. Check the lens cap, the",
        ),
        (
            [GOOD, GOOD],
            [GOOD_RGB, GOOD_RGB * 0],
            "visible[1]: the image has no content, every pixel is 0, 0, 0.",
        ),
        (
            np.full((4, 4), 7000, np.uint16),
            GOOD_RGB[:4, :4],
            "infrared: the image has no content, every pixel is 7000",
        ),
    ],
)
def test_images_that_cannot_be_used(processor, infrared, visible, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        processor(infrared=infrared, visible=visible)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"infrared_range": (1000, 2000)},
            "infrared: pixels run from 0 to 255, outside the range 1000 to 2000",
        ),
        ({"visible_range": (-2, -1)}, "visible: pixels run from 0 to 255, outside the range -2 to -1"),
        (
            {"infrared_range": (9, 3)},
            "`infrared_range` is (9, 3). Give two finite numbers, the lower one first.",
        ),
        ({"visible_range": (0, float("inf"))}, "`visible_range` is (0, inf). Give two finite numbers"),
        ({"percentiles": (1, 2, 3)}, "`percentiles` is (1, 2, 3). Give two finite numbers"),
        ({"percentiles": (-1, 99)}, "`percentiles` is (-1, 99). Give percentages from 0 to 100."),
        ({"size_divisor": 0}, "`size_divisor` is 0. Give a whole number from 1 to 65536."),
        (
            {"size": {"height": 0, "width": 8}},
            "`size` is {'height': 0, 'width': 8}. Give 'height' and 'width', or",
        ),
        ({"size": {"longest_edge": 8}}, "`size` is {'longest_edge': 8}."),
        ({"size": {"edge": 8}}, "size must have one of the following set of keys"),
        ({"do_resize": True}, "`size` and `resample` must be specified if `do_resize` is `True`"),
    ],
)
def test_settings_out_of_range(processor, settings, message):
    infrared = np.array([[0, 255]], np.uint8)
    with pytest.raises(ValueError, match=re.escape(message)):
        processor(infrared, infrared, **settings)


def test_filters_without_an_eight_bit_form_are_refused():
    with pytest.raises(
        ValueError, match=re.escape("`resample` is 1; with `eight_bit` it must be one of 2 (bilinear), 3")
    ):
        MaeFuseImageProcessor(eight_bit=True, resample=Image.Resampling.LANCZOS)


def test_bad_settings_are_refused_on_construction():
    with pytest.raises(ValueError, match=re.escape("`percentiles` is (99, 1)")):
        MaeFuseImageProcessor(percentiles=(99, 1))


@pytest.mark.parametrize("name", ["infrared_rnge", "do_normalize", "image_mean", "images"])
def test_unknown_settings_are_type_errors(processor, name):
    setting: dict[str, Any] = {name: 1}
    with pytest.raises(TypeError, match=name):
        processor(GOOD, GOOD_RGB, **setting)
    with pytest.raises(TypeError, match=f"No such setting: {name}. There are default_to_square, do_resize"):
        MaeFuseImageProcessor(**setting)


def test_settings_of_the_wrong_type_are_refused(processor):
    with pytest.raises(Exception, match=r"size_divisor.*expected int, got str"):
        processor(GOOD, GOOD_RGB, size_divisor="16")


@pytest.mark.parametrize("name", ["cut.png", "cut.jpg", "cut.tif", "cut.webp"])
def test_truncated_files(processor, tmp_path, name):
    path = tmp_path / name
    Image.fromarray(noise(64, 64, 3)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(OSError, match=re.escape(f"infrared ({path}): cannot be read (")) as caught:
        processor(path, noise(64, 64))
    assert "Copy or export the whole image again" in str(caught.value)


def test_truncated_pil_image_that_is_not_loaded_yet(processor, tmp_path):
    path = tmp_path / "cut.png"
    Image.fromarray(noise(64, 64)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with Image.open(path) as image, pytest.raises(OSError, match="visible: cannot be read"):
        processor(noise(64, 64), image)


def test_missing_and_unreadable_files(processor, tmp_path):
    missing, text = tmp_path / "missing.png", tmp_path / "text.png"
    text.write_text("no image")
    with pytest.raises(FileNotFoundError, match=re.escape(f"visible ({missing}): there is no such file.")):
        processor(GOOD, str(missing))
    with pytest.raises(OSError, match=re.escape(f"visible[1] ({text}): cannot be read (")):
        processor([GOOD, GOOD], [GOOD_RGB, text])
    with pytest.raises(OSError, match=re.escape(f"infrared ({tmp_path}): cannot be read (")):
        processor(tmp_path, GOOD_RGB)


# Saving and loading

SETTINGS = {
    "do_resize": True,
    "size": {"shortest_edge": 32},
    "resample": Image.Resampling.LANCZOS,
    "size_divisor": 14,
    "resize_infrared": True,
    "percentiles": (1, 99),
    "infrared_range": (7000, 9000.5),
    "visible_range": (0, 4095),
}


@pytest.mark.parametrize("settings", [{}, SETTINGS])
def test_save_and_load(tmp_path, settings):
    processor = MaeFuseImageProcessor(**settings)
    processor.save_pretrained(tmp_path)
    loaded = MaeFuseImageProcessor.from_pretrained(tmp_path)
    assert loaded.to_dict() == processor.to_dict()
    assert all(getattr(loaded, name) == value for name, value in settings.items())
    infrared, visible = noise(30, 40, dtype=np.uint16, high=9000), noise(60, 80, dtype=np.uint16, high=4096)
    expected = processor(infrared, visible, resize_infrared=True)
    inputs = loaded(infrared, visible, resize_infrared=True)
    assert all(np.array_equal(inputs[key], expected[key]) for key in expected)


def test_saved_configuration(tmp_path):
    MaeFuseImageProcessor(size={"height": 32, "width": 64}).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "preprocessor_config.json").read_text()) == {
        "auto_map": {"AutoImageProcessor": "image_processing_maefuse.MaeFuseImageProcessor"},
        "eight_bit": False,
        "image_processor_type": "MaeFuseImageProcessor",
        "percentiles": [0.1, 99.9],
        "resample": 2,
        "resize_colour": False,
        "resize_infrared": False,
        "size": {"height": 32, "width": 64},
        "size_divisor": 16,
    }


def test_from_pretrained_takes_overrides(tmp_path):
    MaeFuseImageProcessor(infrared_range=(0, 100)).save_pretrained(tmp_path)
    loaded = MaeFuseImageProcessor.from_pretrained(tmp_path, infrared_range=(5, 6), size=16)
    settings = loaded.to_dict()
    assert (settings["infrared_range"], settings["size"]) == ((5, 6), {"shortest_edge": 16})


def test_call_overrides_do_not_stick(processor):
    before = processor.to_dict()
    processor(GOOD, GOOD_RGB, size=16, infrared_range=(0, 100), size_divisor=8)
    assert processor.to_dict() == before


def test_auto_class(tmp_path):
    class PairConfig(PreTrainedConfig):
        model_type = "test-pair-of-images"

    AutoImageProcessor.register(PairConfig, image_processor_classes={"pil": MaeFuseImageProcessor}, exist_ok=True)
    MaeFuseImageProcessor(size_divisor=8).save_pretrained(tmp_path)
    loaded = AutoImageProcessor.from_pretrained(tmp_path)
    assert type(loaded) is MaeFuseImageProcessor
    assert loaded.size_divisor == 8


def test_remote_code(tmp_path, monkeypatch):
    monkeypatch.setattr(MaeFuseImageProcessor, "_auto_class", "AutoImageProcessor")
    monkeypatch.setattr(transformers.dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    repository = tmp_path / "repository"
    MaeFuseImageProcessor(size_divisor=8).save_pretrained(repository)
    saved = {path.name for path in repository.iterdir()}
    code = {"colour.py", "eight_bit.py", "false_colour.py", "image_files.py", "image_processing_maefuse.py"}
    code |= {"whole_files.py"}
    assert saved == {*code, "preprocessor_config.json"}
    configuration = json.loads((repository / "preprocessor_config.json").read_text())
    # An Auto class would find the installed package first.
    remote_class: Any = get_class_from_dynamic_module(configuration["auto_map"]["AutoImageProcessor"], repository)
    assert remote_class.__module__ != MaeFuseImageProcessor.__module__
    loaded = remote_class.from_pretrained(repository)
    assert loaded(GOOD, GOOD_RGB)["visible"].shape == (1, 1, 24, 24)
