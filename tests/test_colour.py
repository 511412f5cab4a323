import numpy as np
import pytest
from PIL import Image

from maefuse_hf.colour import recoloured, replace_luminance, resize_planes, resized_luminance, rgb_to_luminance


def noise(*shape: int, high: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, high, shape).astype(np.uint8)


def column(*pixel: float) -> np.ndarray:
    """One RGB pixel as (3, 1, 1)."""
    return np.array(pixel).reshape(3, 1, 1)


@pytest.mark.parametrize(
    ("pixel", "expected"),
    [((1, 0, 0), 0.299), ((0, 1, 0), 0.587), ((0, 0, 1), 0.114), ((1, 1, 1), 1.0), ((0.2, 0.4, 0.6), 0.363)],
)
def test_luminance_is_bt601(pixel, expected):
    luminance = rgb_to_luminance(column(*pixel).astype(np.float64))
    assert luminance.shape == (1, 1, 1)
    assert luminance.item() == pytest.approx(expected, abs=1e-15)


def test_luminance_of_grey_is_exact():
    grey = (np.arange(256, dtype=np.float32) / 255).reshape(1, 1, 256)
    assert np.array_equal(rgb_to_luminance(np.repeat(grey, 3, axis=0)), grey)


def test_replace_luminance_moves_each_channel_by_the_same_step():
    rgb = column(100, 150, 200).astype(np.uint8)
    # Y = 0.299 * 100 + 0.587 * 150 + 0.114 * 200 = 140.75; Y' = 160.75 is a step of 20.
    recoloured = replace_luminance(rgb, np.full((1, 1, 1), 160.75 / 255))
    assert recoloured.dtype == np.uint8
    assert recoloured.ravel().tolist() == [120, 170, 220]


def test_replace_luminance_clips():
    rgb = column(100, 150, 200).astype(np.uint8)
    assert replace_luminance(rgb, np.full((1, 1, 1), 1.0)).ravel().tolist() == [214, 255, 255]
    assert replace_luminance(rgb, np.full((1, 1, 1), 0.0)).ravel().tolist() == [0, 9, 59]


def test_replace_luminance_keeps_cb_and_cr():
    rgb = noise(3, 8, 8, high=100) + np.uint8(80)
    before = rgb / 255
    after = replace_luminance(rgb, rgb_to_luminance(before) + 30 / 255) / 255
    for channel, divisor in ((2, 1.772), (0, 1.402)):
        kept, given = ((rgb[channel] - rgb_to_luminance(rgb)[0]) / divisor for rgb in (after, before))
        np.testing.assert_allclose(kept, given, atol=1e-6)


def test_resize_keeps_float_precision():
    planes = np.linspace(0.5, 0.501, 16, dtype=np.float32).reshape(1, 1, 16)
    resized = resize_planes(planes, (1, 8), Image.Resampling.BOX)
    np.testing.assert_allclose(resized[0, 0], planes.reshape(8, 2).mean(axis=1), atol=1e-7)


def test_luminance_is_taken_before_the_resize():
    rgb = np.array([[[1.0, 0.0]], [[0.0, 1.0]], [[0.0, 0.0]]], np.float32)
    luminance = resized_luminance(rgb, (1, 1), Image.Resampling.BOX)
    assert luminance.ravel().tolist() == pytest.approx([(0.299 + 0.587) / 2])


def test_recoloured_resizes_the_luminance():
    rgb = np.repeat(column(100, 150, 200), 4, axis=2).astype(np.uint8)
    image = recoloured(rgb, np.full((1, 1, 2), 160.75 / 255, np.float32), resample=None)
    assert image.shape == rgb.shape
    assert (image[:, 0, 0] == [120, 170, 220]).all() and (image == image[:, :, :1]).all()


def test_recoloured_resizes_the_whole_image():
    rgb = np.concatenate([column(90, 90, 90), column(160, 60, 60)], axis=2).repeat(2, axis=2).astype(np.uint8)
    luminance = np.full((1, 1, 1), 100 / 255, np.float32)
    sharp = recoloured(rgb, luminance, resample=None)
    # one pixel of the mean colour (125, 75, 75), Y = 89.95, and then Y = 100
    soft = recoloured(rgb, luminance, Image.Resampling.BOX)
    assert len(np.unique(sharp, axis=2)[0, 0]) == 2
    assert soft[:, 0].T.tolist() == [[135, 85, 85]] * 4
