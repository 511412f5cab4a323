"""Images in whole grey values. `OPENCV` is what OpenCV gives: `golden/README_conversion.md`."""

import numpy as np
import pytest
from PIL.Image import Resampling

from maefuse_hf.eight_bit import (
    recoloured_8_bit,
    resize_8_bit,
    resized_luminance_8_bit,
    rgb_to_ycrcb,
    ycrcb_to_rgb,
)

RGB = [
    [10, 200, 30],
    [255, 0, 0],
    [0, 255, 0],
    [0, 0, 255],
    [255, 255, 255],
    [90, 90, 90],
    [255, 128, 7],
    [3, 2, 1],
    [77, 191, 254],
]
YCRCB = [
    [124, 47, 75],
    [76, 255, 85],
    [150, 21, 43],
    [29, 107, 255],
    [255, 128, 128],
    [90, 128, 128],
    [152, 201, 46],
    [2, 129, 127],
    [164, 66, 179],
]
RGB_AGAIN = [
    [10, 200, 30],
    [254, 0, 0],
    [0, 255, 0],
    [0, 0, 254],
    [255, 255, 255],
    [90, 90, 90],
    [254, 128, 7],
    [3, 2, 0],
    [77, 191, 254],
]
PATTERN = ((np.arange(63).reshape(1, 7, 9) * 37 + 11) % 256).astype(np.uint8)
OPENCV = {
    (Resampling.BILINEAR, (4, 6)): [
        [49, 105, 160, 143, 135, 71],
        [176, 207, 39, 94, 150, 181],
        [86, 118, 174, 229, 60, 92],
        [197, 133, 124, 108, 163, 99],
    ],
    (Resampling.BILINEAR, (10, 12)): [
        [11, 34, 62, 89, 117, 145, 173, 201, 228, 96, 28, 51],
        [53, 76, 104, 132, 160, 187, 162, 102, 130, 86, 70, 93],
        [107, 130, 158, 178, 158, 177, 133, 41, 69, 96, 124, 147],
        [161, 184, 212, 209, 55, 52, 75, 95, 122, 150, 178, 201],
        [215, 134, 99, 116, 77, 93, 121, 149, 176, 204, 169, 89],
        [179, 98, 64, 91, 119, 147, 175, 191, 152, 168, 134, 53],
        [67, 90, 118, 145, 173, 193, 216, 213, 59, 56, 84, 107],
        [121, 144, 171, 199, 227, 135, 90, 110, 90, 110, 137, 161],
        [174, 198, 182, 138, 166, 105, 80, 108, 136, 164, 148, 99],
        [217, 240, 172, 39, 67, 95, 123, 151, 178, 206, 138, 1],
    ],
    (Resampling.BICUBIC, (4, 6)): [
        [41, 95, 178, 140, 137, 61],
        [181, 239, 0, 91, 159, 191],
        [77, 109, 177, 255, 29, 87],
        [207, 131, 128, 90, 179, 101],
    ],
    (Resampling.BICUBIC, (10, 12)): [
        [2, 24, 57, 85, 110, 135, 175, 221, 255, 93, 0, 47],
        [43, 66, 96, 129, 174, 225, 174, 84, 126, 75, 54, 89],
        [108, 136, 177, 193, 165, 206, 135, 3, 39, 88, 137, 163],
        [156, 185, 238, 222, 45, 31, 73, 93, 119, 146, 183, 211],
        [252, 133, 78, 111, 56, 66, 108, 152, 198, 253, 189, 70],
        [198, 79, 15, 70, 116, 160, 202, 212, 157, 190, 135, 16],
        [57, 85, 122, 149, 175, 195, 237, 223, 46, 30, 84, 112],
        [105, 131, 180, 229, 255, 133, 62, 103, 75, 88, 142, 189],
        [179, 214, 193, 142, 184, 94, 43, 94, 139, 184, 161, 103],
        [221, 255, 175, 7, 47, 93, 133, 158, 183, 242, 144, 0],
    ],
}


def planes(pixels: list[list[int]]) -> np.ndarray:
    """A list of pixels as (3, 1, pixels)."""
    return np.array(pixels, np.uint8).T[:, None]


def test_colours_equal_opencv():
    assert rgb_to_ycrcb(planes(RGB))[:, 0].T.tolist() == YCRCB
    assert ycrcb_to_rgb(planes(YCRCB))[:, 0].T.tolist() == RGB_AGAIN


def test_grey_keeps_its_values():
    grey = np.broadcast_to(np.arange(256, dtype=np.uint8), (3, 1, 256))
    ycrcb = rgb_to_ycrcb(grey)
    assert np.array_equal(ycrcb[0], grey[0]) and (ycrcb[1:] == 128).all()
    assert np.array_equal(ycrcb_to_rgb(ycrcb), grey)


@pytest.mark.parametrize("size", [(4, 6), (10, 12)])
def test_bilinear_equals_opencv(size):
    expected = OPENCV[Resampling.BILINEAR, size]
    assert resize_8_bit(PATTERN, size, Resampling.BILINEAR)[0].tolist() == expected


@pytest.mark.parametrize("size", [(4, 6), (10, 12)])
def test_bicubic_equals_opencv_to_one_level(size):
    resized = resize_8_bit(PATTERN, size, Resampling.BICUBIC)[0].astype(int)
    assert np.abs(resized - OPENCV[Resampling.BICUBIC, size]).max() <= 1


def test_resize_by_hand():
    # places 0.25 and 1.75 of the row 0, 100, 200: a quarter and three quarters of the way
    row = np.array([[[0, 100, 200]]], np.uint8)
    assert resize_8_bit(row, (1, 2), Resampling.BILINEAR).tolist() == [[[25, 175]]]
    assert resize_8_bit(row, (1, 3), Resampling.BICUBIC).tolist() == row.tolist()
    assert resize_8_bit(row, (2, 3), Resampling.BICUBIC).tolist() == [[row[0, 0].tolist()] * 2]


def test_luminance_comes_in_whole_255ths():
    rgb = planes(RGB).astype(np.float32) / 255
    luminance = resized_luminance_8_bit(rgb, (1, 9), Resampling.BILINEAR)
    assert luminance.shape == (1, 1, 9) and luminance.dtype == np.float32
    assert np.array_equal(luminance[0, 0] * 255, [pixel[0] for pixel in YCRCB])


def test_recoloured_puts_luminance_into_the_colours():
    rgb = planes(RGB)
    given = np.full((1, 1, 9), 200 / 255, np.float32)
    expected = [
        [86, 255, 106],
        [255, 124, 124],
        [50, 255, 49],
        [171, 171, 255],
        [200, 200, 200],
        [200, 200, 200],
        [255, 176, 55],
        [201, 200, 198],
        [113, 227, 255],
    ]
    for resample in (None, Resampling.BILINEAR):
        assert recoloured_8_bit(rgb, given, resample)[:, 0].T.tolist() == expected


def test_recoloured_resizes_luminance_or_the_whole_image():
    # colour of one pixel between two grey ones; luminance of two pixels
    rgb = planes([[100, 100, 100], [160, 60, 60], [100, 100, 100], [100, 100, 100]])
    luminance = np.full((1, 1, 2), 100 / 255, np.float32)
    sharp = recoloured_8_bit(rgb, luminance, None)
    soft = recoloured_8_bit(rgb, luminance, Resampling.BILINEAR)
    assert sharp.shape == soft.shape == rgb.shape
    assert (sharp[:, 0, [0, 2, 3]] == 100).all() and sharp[:, 0, 1].tolist() == [170, 70, 70]
    assert soft[0, 0, 0] > 100 > soft[2, 0, 0]
