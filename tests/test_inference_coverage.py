import numpy as np
import pytest
from PIL import Image

from maefuse_hf.inference.coverage import (
    GAMMA_LIMITS,
    blend_into_photo,
    covered_region,
    feather_weights,
    footprint_weights,
    infrared_in_photo,
    infrared_over,
    matched_gamma,
)
from maefuse_hf.registration import Rig


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
    before, after = (
        np.asarray(image, int)
        for image in (photo, blend_into_photo(photo, fused, region, feather_weights(region, photo.size)))
    )
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
    assert np.array_equal(
        np.asarray(blend_into_photo(photo, fused, (0, 0, 30, 20), np.ones((20, 30)))), np.asarray(fused)
    )


def test_brightness_is_bent_to_the_photos():
    border = np.ones((4, 4), bool)
    half, quarter = np.full((1, 4, 4), 0.5), np.full((1, 4, 4), 0.25)
    assert matched_gamma(half, quarter, border) == pytest.approx(0.5)
    assert matched_gamma(quarter, half, border) == pytest.approx(2)
    assert matched_gamma(np.zeros((1, 4, 4)), half, border) == GAMMA_LIMITS[1]
    assert matched_gamma(quarter, half, ~border) == 1


SQUARE = np.array([(20, 30), (80, 30), (80, 90), (20, 90)], float)


def test_weights_of_a_footprint_rise_from_its_sides():
    weights = footprint_weights(SQUARE, (20, 30, 80, 90), (200, 200))
    middle = feather_weights((20, 30, 80, 90), (200, 200))[30]
    assert weights[30] == pytest.approx(middle) and weights[:, 30] == pytest.approx(middle)
    turned = np.array([(50, 10), (90, 50), (50, 90), (10, 50)], float)
    weights = footprint_weights(turned, (10, 10, 90, 90), (200, 200))
    assert weights[:20, :15].max() == 0 and weights[40, 40] == 1
    share = 3 / np.sqrt(2) / (0.25 * 80)
    assert weights[21, 21] == pytest.approx(3 * share**2 - 2 * share**3)


def test_where_a_footprint_leaves_the_photo_there_is_no_border():
    """Its upper side crosses the photo's edge in the middle."""
    sides = np.array([(-5, -10), (105, 10), (110, 70), (-10, 70)], float)
    weights = footprint_weights(sides, (0, 0, 100, 60), (100, 60))
    assert weights[0, 5] == 1 and weights[-1].min() == 1 and weights[0, 90] == 0 and weights[-1, 0] == 1


def test_a_place_is_a_box_or_a_rig():
    infrared = np.random.default_rng(0).random((30, 40), np.float32)
    rig = Rig((40, 30), (100, 80), ((1, 0, 20), (0, 1, 10), (0, 0, 1)), "similarity", 1.0, 1)
    by_rig = infrared_in_photo(infrared, rig, (100, 80))
    by_box = infrared_in_photo(infrared, (20.0, 10.0, 60.0, 40.0), (100, 80))
    assert by_rig[0] == by_box[0] == (20, 10, 60, 40)
    assert by_rig[1] == pytest.approx(by_box[1], abs=1e-4)
    assert by_rig[2][15] == pytest.approx(by_box[2][15])
    with pytest.raises(ValueError, match="these have 40×30 and 100×90"):
        infrared_in_photo(infrared, rig, (100, 90))
