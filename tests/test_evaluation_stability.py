"""How much the same thing changes between crops and frames: by hand with methods whose change is known."""

import numpy as np
import pytest
from PIL import Image

from maefuse_hf.evaluation.runner import BASELINE_SYSTEMS
from maefuse_hf.evaluation.stability import CROP_CHANGE, FRAME_CHANGE, crop_change, ellipse, frame_change, stability

PIXELWISE = ("visible alone", "infrared alone", "average", "maximum")


@pytest.fixture
def pair():
    columns = np.tile(np.arange(80, dtype=np.uint8), (64, 1))
    return Image.fromarray(columns), Image.fromarray(columns + 100)


def flat(level, like):
    return Image.fromarray(np.full(like.size[::-1], level, dtype=np.uint8))


@pytest.mark.parametrize("system", [own for own in BASELINE_SYSTEMS if own.name in PIXELWISE], ids=lambda own: own.name)
def test_formulas_of_single_pixels_change_nothing(system, pair):
    assert stability(system.fuse_images, *pair) == {CROP_CHANGE: 0, FRAME_CHANGE: 0}


def test_the_rule_changes_with_what_else_is_in_the_image(pair):
    rule = next(system for system in BASELINE_SYSTEMS if system.name == "rule")
    changes = stability(rule.fuse_images, *pair)
    assert changes[CROP_CHANGE] > 1 and changes[FRAME_CHANGE] > 1


def test_a_crop_is_compared_where_it_shows_the_same(pair):
    # each crop is as bright as its first column: 0 and 20
    assert crop_change(lambda infrared, visible: flat(infrared.getpixel((0, 0)), infrared), *pair) == 20
    # a method that keeps the place: the crops' columns 20 to 59 lie over each other
    assert crop_change(lambda infrared, visible: infrared, *pair) == 0


def test_frames_are_the_pair_and_two_places_of_the_object(pair):
    # as bright as the number of hot pixels: 0 in the first frame, 12·16·π/4·… in both others
    counts = []

    def counting(infrared, visible):
        counts.append(int((np.asarray(infrared) == 255).sum()))
        return flat(10 * (len(counts) - 1), infrared)

    # frames of the levels 0, 10, 20
    assert frame_change(counting, *pair) == 10
    assert counts[0] == 0 and counts[1] > 0
    # an ellipse of 16 by 6.4 px
    assert counts[1] == pytest.approx(np.pi / 4 * 16 * 6.4, rel=0.1)


def test_what_is_near_the_object_does_not_count(pair):
    def haloed(infrared, visible):
        hot = np.asarray(infrared) == 255
        halo = sum(np.roll(hot, step, axis=1) for step in (-6, 6)) > 0
        return Image.fromarray(np.where(halo, 200, 0).astype(np.uint8))

    assert frame_change(haloed, *pair) == 0


def test_the_ellipse_stands_in_the_middle_of_the_height():
    rows, columns = np.nonzero(ellipse(64, 80, 40.0, 0.0))
    assert (rows.min(), rows.max()) == (24, 39)
    assert (columns.min(), columns.max()) == (37, 42)
