import numpy as np
import pytest
from PIL import Image

from maefuse_hf.inference.coverage import (
    GAMMA_LIMITS,
    blend_into_photo,
    covered_region,
    feather_weights,
    infrared_over,
    matched_gamma,
)


def test_whole_pixels_inside_the_box():
    assert covered_region((1.2, 2, 9.9, 7.5), (20, 10)) == (2, 2, 9, 7)
    assert covered_region((-5, -5, 50, 50), (20, 10)) == (0, 0, 20, 10)


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((5, 5, 5, 9), "Give left"),
        ((9, 5, 5, 9), "Give left"),
        ((0, 0, float("nan"), 9), "Give left"),
        ((30, 0, 40, 9), "holds no pixel"),
        ((1.2, 1.2, 1.8, 1.8), "holds no pixel"),
    ],
)
def test_boxes_without_pixels(box, message):
    with pytest.raises(ValueError, match=message):
        covered_region(box, (20, 10))


def test_infrared_lies_where_the_box_says():
    """A ramp of 1 a pixel, enlarged by 4: the photo's pixel x has its middle at (x + 0.5 - left) / 4 - 0.5."""
    infrared = np.tile(np.arange(20, dtype=np.float32), (10, 1))
    box = (3.5, 2.0, 83.5, 42.0)
    region = covered_region(box, (100, 60))
    values = infrared_over(infrared, box, region)
    assert values.shape == (region[3] - region[1], region[2] - region[0]) == (40, 79)
    places = (np.arange(region[0], region[2]) + 0.5 - box[0]) / 4 - 0.5
    assert values[20, 10:-10] == pytest.approx(places[10:-10], abs=0.02)


def test_a_box_beyond_the_photo_shows_infrareds_middle():
    infrared = np.tile(np.arange(40, dtype=np.float32), (20, 1))
    values = infrared_over(infrared, (-10, -5, 30, 15), covered_region((-10, -5, 30, 15), (20, 10)))
    assert values.shape == (10, 20)
    assert values[5] == pytest.approx(np.arange(10, 30), abs=1e-4)


def test_weights_rise_from_the_border_and_stay_at_the_photos_edge():
    weights = feather_weights((0, 20, 100, 120), (200, 200))
    assert weights[50, 0] == 1 and weights[50, 50] == 1
    assert weights[50, -1] < 0.002 and weights[0, 50] < 0.002 and weights[-1, 50] < 0.002
    assert (np.diff(weights[50, 50:]) <= 0).all()
    assert (feather_weights((0, 0, 30, 20), (30, 20)) == 1).all()


def test_outside_the_box_the_photo_stays_and_no_step_shows_at_its_border():
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(90, 110, (120, 160, 3), dtype=np.uint8))
    region = 30, 20, 130, 100
    fused = Image.new("RGB", (100, 80), (255, 0, 255))
    before, after = (np.asarray(image, int) for image in (photo, blend_into_photo(photo, fused, region)))
    outside = np.ones(before.shape[:2], bool)
    outside[20:100, 30:130] = False
    assert np.array_equal(after[outside], before[outside])
    assert abs(after[60, 80] - before[60, 80]).max() > 50
    # across the four borders: as the photo's own pixels differ, to one grey level
    for axis, (first, last) in ((0, (20, 100)), (1, (30, 130))):
        for place in (first, last):
            steps = [
                abs(np.take(image, place, axis) - np.take(image, place - 1, axis)).mean() for image in (before, after)
            ]
            assert steps[1] <= steps[0] + 1


def test_full_coverage_is_the_fused_image():
    photo, fused = Image.new("RGB", (30, 20), (10, 20, 30)), Image.new("RGB", (30, 20), (200, 100, 50))
    assert np.array_equal(np.asarray(blend_into_photo(photo, fused, (0, 0, 30, 20))), np.asarray(fused))


def test_brightness_is_bent_to_the_photos():
    border = np.ones((4, 4), bool)
    half, quarter = np.full((1, 4, 4), 0.5), np.full((1, 4, 4), 0.25)
    assert matched_gamma(half, quarter, border) == pytest.approx(0.5)
    assert matched_gamma(quarter, half, border) == pytest.approx(2)
    assert matched_gamma(np.zeros((1, 4, 4)), half, border) == GAMMA_LIMITS[1]
    assert matched_gamma(quarter, half, ~border) == 1
