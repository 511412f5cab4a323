import importlib.util

import numpy as np
import pytest
from PIL import Image

from maefuse_hf.example_scene.scene import render_example_pair
from maefuse_hf.registration import (
    RegistrationRefusedError,
    Rig,
    SearchRange,
    overlay_image,
    register,
    register_pairs,
    registering,
    warp_infrared,
)
from maefuse_hf.registration.agreement import local_shifts
from maefuse_hf.registration.geometry import (
    corner_distance,
    corners,
    nearest_similarity,
    scale_and_angle,
    shift,
    similarity,
    transformed,
)
from maefuse_hf.registration.orientation import orientation_field, turned

NARROW = SearchRange(scale=(0.75, 0.84), rotation=3.5)
SIZE = 320, 240
INNER = 272, 204


def warp_about_middle(scale=0.93, degrees=3, across=8, down=-5):
    middle = np.array(SIZE) / 2
    return shift(*(middle + np.array((across, down)))) @ similarity(scale, np.radians(degrees)) @ shift(*-middle)


def moved_pair(warp, seed=3):
    """Infrared that lies under a warp in the photo, both of 8 bits, and where it lies; infrared's margins are cut."""
    infrared, visible = (np.asarray(image.convert("L")) for image in render_example_pair(*SIZE[::-1], seed=seed))
    moved = warp_infrared(infrared, Rig(SIZE, SIZE, np.linalg.inv(warp), "homography", 1.0, 1))
    left, top = (SIZE[0] - INNER[0]) // 2, (SIZE[1] - INNER[1]) // 2
    cut = moved[top : top + INNER[1], left : left + INNER[0]]
    return np.rint(cut).astype(np.uint8), visible, warp @ shift(left, top)


def soft_noise():
    """Infrared of nothing, which lies nowhere in the photo."""
    noise = np.random.default_rng(0).integers(0, 256, (30, 40), dtype=np.uint8)
    return Image.fromarray(noise).resize(INNER, Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def pair():
    return moved_pair(warp_about_middle())


@pytest.fixture(scope="module")
def found(pair):
    return register(pair[0], pair[1], search=NARROW)


def test_a_known_similarity_is_found(pair, found):
    assert corner_distance(found.rig.transform, pair[2], INNER) < 1
    assert (found.rig.infrared_size, found.rig.visible_size, found.rig.pairs) == (INNER, SIZE, 1)
    assert found.trusted and found.used == (0,) and registering.TRUSTED < found.rig.score <= 1


def test_contrast_does_not_matter(pair, found):
    negative = register(255 - pair[0], pair[1], search=NARROW)
    assert corner_distance(negative.rig.transform, found.rig.transform, INNER) < 0.2
    assert negative.rig.score == pytest.approx(found.rig.score, abs=0.05)


def test_infrared_of_other_depth_and_size(pair, found):
    """Temperatures of half the size lie where infrared lay."""
    half = Image.fromarray(pair[0].astype(np.float32)).resize((INNER[0] // 2, INNER[1] // 2), Image.Resampling.BOX)
    coarse = register(np.asarray(half) / 10 - 5, pair[1], search=NARROW)
    doubled = coarse.rig.transform @ np.diag((0.5, 0.5, 1))
    assert corner_distance(doubled, found.rig.transform, INNER) < 1.5


def test_a_known_homography_is_found():
    warp = warp_about_middle()
    warp = warp @ np.array([(1, 0, 0), (0, 1, 0), (1e-4, -5e-5, 1)])
    infrared, visible, truth = moved_pair(warp)
    search = SearchRange(scale=(0.75, 0.84), rotation=3.5)
    similar, exact = (register(infrared, visible, model, search).rig for model in ("similarity", "homography"))
    assert corner_distance(exact.transform, truth, INNER) < 1.5 < corner_distance(similar.transform, truth, INNER)


def test_what_cannot_be_registered_is_refused_with_its_score(pair):
    with pytest.raises(
        RegistrationRefusedError, match=r"score is 0\.\d\d, and 0\.\d\d is needed.*several pairs"
    ) as refused:
        register(np.asarray(soft_noise()), pair[1], search=NARROW)
    assert refused.value.registration.rig.score < registering.TRUSTED and not refused.value.registration.trusted
    assert isinstance(refused.value, ValueError)


def test_parts_that_agree_need_evidence_too(pair, monkeypatch):
    monkeypatch.setattr(registering, "EVIDENCE", 1e6)
    with pytest.raises(RegistrationRefusedError, match=r"evidence is \d+, and 1000000 is needed") as refused:
        register(*pair[:2], search=NARROW)
    assert refused.value.registration.rig.score >= registering.TRUSTED


@pytest.mark.parametrize("which", [0, 1])
def test_an_even_image_is_refused(pair, which):
    images = [pair[0], pair[1]]
    images[which] = np.full_like(images[which], 7)
    with pytest.raises(RegistrationRefusedError, match="one even grey") as refused:
        register(*images)
    assert refused.value.registration is None


def test_images_that_cannot_be_used(pair):
    infrared, visible, _ = pair
    with pytest.raises(ValueError, match=r"infrared image has shape \(204, 272, 1\)"):
        register(infrared[..., None], visible)
    with pytest.raises(ValueError, match="at least 32"):
        register(infrared, visible[:31])
    with pytest.raises(ValueError, match="visible image has 320×40 pixels; one side may be 5 times"):
        register(infrared, visible[:40])
    with pytest.raises(ValueError, match="not finite"):
        register(np.where(infrared > 100, np.nan, infrared), visible)
    with pytest.raises(ValueError, match="no model 'affine'"):
        register(infrared, visible, "affine")
    with pytest.raises(ValueError, match="No pair"):
        register_pairs([])
    with pytest.raises(ValueError, match="different sizes"):
        register_pairs([(infrared, visible), (infrared[:-1], visible)])


def test_one_rig_of_several_pairs_leaves_out_what_does_not_belong(pair):
    others = [moved_pair(warp_about_middle(), seed) for seed in (5, 8)]
    foreign = moved_pair(warp_about_middle(0.88, -2, -12, 6), 11)
    pairs = [(infrared, visible) for infrared, visible, _ in (foreign, pair, *others)]
    registration = register_pairs(pairs, search=NARROW)
    assert registration.used == (1, 2, 3) and registration.rig.pairs == 3
    assert corner_distance(registration.rig.transform, pair[2], INNER) < 1


def test_pairs_that_do_not_agree_are_refused(pair):
    foreign = [moved_pair(warp_about_middle(0.88, -2, -12, 6), 11), moved_pair(warp_about_middle(0.98, 2, 10, 12), 5)]
    pairs = [(infrared, visible) for infrared, visible, _ in (pair, *foreign)]
    with pytest.raises(RegistrationRefusedError, match="1 of 3 pairs agree"):
        register_pairs(pairs, search=NARROW)


def test_without_opencv_one_sentence_says_what_to_install(pair, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "cv2" else find(name))
    with pytest.raises(OSError, match=r"OpenCV and SciPy.*pip install 'maefuse-hf\[align\]'"):
        register(*pair[:2])


@pytest.mark.parametrize("fields", [{"scale": (1.2, 0.8)}, {"scale": (0, 1)}, {"rotation": 60}, {"overlap": 0}])
def test_search_ranges_that_cannot_be(fields):
    with pytest.raises(ValueError, match="needed"):
        SearchRange(**fields)


def test_a_search_range_is_covered_to_its_ends():
    search = SearchRange(scale=(0.5, 1.0), rotation=5)
    assert search.scales()[[0, -1]] == pytest.approx((0.5, 1.0)) and np.diff(np.log(search.scales())).max() <= 0.04
    assert np.degrees(search.angles())[[0, -1]] == pytest.approx((-5, 5)) and 0 in search.angles()
    assert SearchRange(scale=(1, 1), rotation=0).angles().tolist() == [0]


def test_orientation_of_a_slope_is_its_doubled_angle_for_both_signs():
    rows, columns = np.mgrid[:40, :40].astype(np.float32)
    slope = 3 * (np.cos(0.4) * columns + np.sin(0.4) * rows) + 50
    for image in (slope, 255 - slope):
        field = orientation_field(image.astype(np.float32), 1.5)[15:25, 15:25]
        assert np.angle(field) == pytest.approx(np.full((10, 10), 0.8), abs=1e-3)
        # as strong as its surroundings: 9 / (9 + 9 + 1²)
        assert np.abs(field) == pytest.approx(np.full((10, 10), 9 / 19), abs=0.01)
    assert np.angle(turned(field, 0.1)) == pytest.approx(np.full((10, 10), 1.0), abs=1e-3)


def test_scale_and_angle_and_the_nearest_similarity():
    warp = similarity(1.3, 0.2)
    assert scale_and_angle(warp, np.array((5.0, 7.0))) == pytest.approx((1.3, 0.2))
    bent = warp @ np.array([(1, 0, 0), (0, 1, 0), (1e-3, 0, 1)])
    similar = nearest_similarity(bent, np.array((10.0, 10.0)))
    assert transformed(similar, np.array([(10.0, 10.0)])) == pytest.approx(transformed(bent, np.array([(10.0, 10.0)])))
    assert similar[2].tolist() == [0, 0, 1] and similar[0, 0] == similar[1, 1]


def test_parts_say_by_how_much_infrared_lies_wrong(pair):
    infrared, visible, truth = pair
    right = local_shifts(infrared.astype(np.float32), visible.astype(np.float32), truth)
    wrong = local_shifts(infrared.astype(np.float32), visible.astype(np.float32), shift(6, 0) @ truth)
    assert right.agreement > 0.5 > wrong.agreement
    assert np.median(wrong.shifts, axis=0) == pytest.approx((-6, 0), abs=1)


def test_the_overlay_shows_infrared_in_red_and_its_frame():
    infrared = np.zeros((40, 40))
    infrared[:, 20:] = 1
    photo = Image.fromarray(np.tile(np.array([0, 255], np.uint8).repeat(50), (100, 1))).convert("RGB")
    overlay = overlay_image(infrared, photo, Rig((40, 40), (100, 100), shift(30, 30), "similarity", 1.0, 1))
    assert overlay.size == (100, 100)
    assert overlay.getpixel((40, 50)) == (0, 0, 0) and overlay.getpixel((60, 50)) == (255, 255, 255)
    assert overlay.getpixel((30, 50)) == (255, 210, 0)
    assert overlay.getpixel((10, 10)) == (0, 0, 0) and overlay.getpixel((90, 10)) == (255, 255, 255)


def test_corners_go_clockwise():
    assert corners((4, 3)).tolist() == [[0, 0], [4, 0], [4, 3], [0, 3]]
