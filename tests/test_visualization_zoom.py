import numpy as np
import pytest
from PIL import Image

from maefuse_hf.visualization.zoom import Patch, differing_patch, gradient_strength, patch_at, with_patch


def grey(pixels):
    return Image.fromarray(np.asarray(pixels, np.uint8))


def test_gradient_strength_by_hand():
    image = np.array([[0.0, 6.0], [8.0, 14.0]])
    assert gradient_strength(image).tolist() == [[10, 10], [10, 10]]
    assert gradient_strength(np.array([[0.0, 2.0, 8.0]])).tolist() == [[2, 4, 6]]
    assert gradient_strength(np.array([[7.0]])).tolist() == [[0]]


def test_the_patch_holds_the_detail_that_one_image_lacks():
    even = np.full((32, 48), 50)
    detailed = even.copy()
    detailed[20:24, 30:34:2] = 200
    left, top, right, bottom = differing_patch([grey(even), grey(detailed)]).box
    assert left <= 29 and right >= 34 and top <= 20 and bottom >= 24
    assert (right - left, bottom - top) == (12, 8)


def test_brightness_alone_draws_no_patch_and_equal_patches_give_the_first():
    dark, bright = np.full((16, 16), 0), np.full((16, 16), 255)
    assert differing_patch([grey(dark), grey(bright)]) == Patch(0, 0, 4, 4)
    both = grey(np.arange(256).reshape(16, 16))
    assert differing_patch([both, both]) == Patch(0, 0, 4, 4)


def test_images_smaller_than_the_magnification():
    assert differing_patch([grey([[0, 9]]), grey([[0, 0]])]) == Patch(0, 0, 1, 1)


def test_a_patch_of_ones_own_has_the_proportions_of_the_images():
    assert patch_at((4, 6, 10), (40, 20)) == Patch(4, 6, 10, 5)
    assert patch_at((30, 15, 10), (40, 20)).box == (30, 15, 40, 20)


@pytest.mark.parametrize("given", [(-1, 0, 10), (31, 0, 10), (0, 16, 10), (0, 0, 0), (0, 0, 41)])
def test_a_patch_beyond_the_images_is_refused(given):
    with pytest.raises(ValueError, match="does not lie within images of 40×20 px"):
        patch_at(given, (40, 20))


def test_the_patch_stands_enlarged_below_its_image_and_is_framed_in_it():
    pixels = np.zeros((8, 16), np.uint8)
    pixels[2:4, 4:8] = [[10, 20, 30, 40], [50, 60, 70, 80]]
    (caption, stacked), *rest = with_patch({"one": grey(pixels)}, Patch(4, 2, 4, 2)).items()
    assert (caption, rest, stacked.size, stacked.mode) == ("one", [], (16, 24), "RGB")
    shown = np.asarray(stacked)
    assert (shown[16:, :, 0] == pixels[2:4, 4:8].repeat(4, axis=0).repeat(4, axis=1)).all()
    red = (shown[:8] == (255, 0, 0)).all(axis=-1)
    expected = np.zeros((8, 16), bool)
    expected[1:5, 3:9] = True
    expected[2:4, 4:8] = False
    assert (red == expected).all()
    assert (shown[2:4, 4:8, 0] == pixels[2:4, 4:8]).all()


def test_the_frame_of_a_patch_in_the_corner_stays_within_the_image():
    stacked = np.asarray(with_patch({"one": grey(np.zeros((8, 16)))}, Patch(12, 6, 4, 2))["one"])
    red = (stacked == (255, 0, 0)).all(axis=-1)
    assert red[5:8, 11:16].sum() == 5 + 5 + 2 and red.sum() == 12
