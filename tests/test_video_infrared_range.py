import math

import numpy as np
import pytest

from maefuse_hf.video.infrared_range import RangeSmoother, share

SCENE = np.linspace(1000, 2000, 101).reshape(1, 101)


def test_the_first_frame_gives_the_range_and_the_next_ones_move_it_by_their_share_of_the_time():
    smoother = RangeSmoother(10, (0, 100))
    assert smoother.update(SCENE, 0) == (1000, 2000)
    hot = SCENE.copy()
    hot[0, -1] = 3000
    assert smoother.update(hot, 1) == pytest.approx((1000, 2000 + 1000 * (1 - math.exp(-0.1))))
    assert smoother.update(hot, 0) == pytest.approx((1000, 2000 + 1000 * (1 - math.exp(-0.1))))


def test_without_smoothing_each_frame_has_its_own_range():
    smoother = RangeSmoother(0, (0, 100))
    for frame in (SCENE, SCENE + 50, SCENE * 2):
        assert smoother.update(frame, 0.04) == (frame.min(), frame.max())


def test_percentiles_leave_a_few_pixels_out_unless_nothing_else_is_there():
    assert RangeSmoother(10, (10, 90)).update(SCENE, 0) == pytest.approx((1100, 1900))
    few = np.full((10, 100), 7.0)
    few[0, 0] = 9
    assert RangeSmoother(10, (10, 90)).update(few, 0) == (7, 9)


def test_a_camera_that_changes_its_own_range_starts_anew():
    smoother = RangeSmoother(10, (0, 100))
    smoother.update(SCENE, 0)
    assert smoother.update(SCENE + 5000, 0.04) == (6000, 7000)


def test_share():
    assert share(0.04, 0) == 1
    assert share(0, 2) == 0
    assert share(2, 2) == pytest.approx(1 - 1 / math.e)
