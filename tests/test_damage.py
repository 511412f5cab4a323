"""Damages: the pixels of each by golden values, what they do by hand, and bad input."""

from zlib import crc32

import numpy as np
import pytest

from maefuse_hf.evaluation.damage import (
    DAMAGES,
    STRENGTHS,
    Pair,
    Random,
    blur,
    coarse,
    damaged,
    kinds_that_hit,
    over_exposure,
)

# crc32 of the damaged image of `scene`, for the strengths 1, 2 and 3, seed 7
GOLDEN: dict[str, tuple[int, int, int]] = {
    "infrared-noise": (3625594536, 2194554858, 2455115025),
    "infrared-stripes": (3865379708, 739537910, 894039238),
    "infrared-coarse": (4086194492, 693718789, 1154378511),
    "infrared-partial": (1182657778, 4048193821, 2937014453),
    "dead-pixels": (681148677, 2156439088, 1112342354),
    "dead-blocks": (196720096, 2579923535, 3692937723),
    "infrared-blur": (99102802, 2271417879, 3516909556),
    "infrared-jpeg": (472241999, 3375117097, 679388454),
    "off-register": (1104250472, 4049498006, 1514108259),
    "black-hot": (2663633443, 4061563844, 2970763049),
    "visible-noise": (931709546, 3042487366, 520654850),
    "low-light": (808703248, 2406756927, 550283069),
    "glare": (1546903769, 1777412832, 3117638130),
    "over-exposure": (1084922643, 3651758822, 2877408676),
    "haze": (1128229249, 3861273689, 3024839657),
    "smoke": (3609999431, 708159257, 3533691574),
    "visible-blur": (774062513, 3927121284, 2806185889),
    "visible-jpeg": (3977404519, 2569531230, 630008982),
}


@pytest.fixture
def scene() -> Pair:
    """A pair of 40×56 of whole-number formulas: slopes, a square, a checked floor."""
    rows, columns = np.mgrid[:40, :56]
    infrared = (rows * 3 + columns).astype(np.uint8)
    infrared[10:20, 30:40] = 250
    checked = (rows // 4 + columns // 4) % 2 * 60
    visible = np.stack([checked + columns * 2, checked + rows, 200 - checked - rows], axis=-1).astype(np.uint8)
    return Pair(infrared, visible)


def flat(level: int, *shape: int) -> np.ndarray:
    return np.full(shape, level, dtype=np.uint8)


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_seed_gives_these_pixels(kind, scene):
    hit = [getattr(damaged(scene, kind, strength, 7), DAMAGES[kind].hits) for strength in STRENGTHS]
    assert tuple(crc32(image.tobytes()) for image in hit) == GOLDEN[kind]


@pytest.mark.parametrize("kind", DAMAGES)
def test_one_image_is_hit_and_the_other_stays(kind, scene):
    kept = Pair(*(image.copy() for image in scene))
    after = damaged(scene, kind, 2, 0)
    hit = DAMAGES[kind].hits
    other = {"infrared": "visible", "visible": "infrared"}[hit]
    assert getattr(after, other) is getattr(scene, other)
    assert getattr(after, hit).shape == getattr(scene, hit).shape and getattr(after, hit).dtype == np.uint8
    assert (getattr(after, hit) != getattr(scene, hit)).any()
    # and the pair that came is as it was
    assert all((image == old).all() for image, old in zip(scene, kept))


@pytest.mark.parametrize("kind", sorted(set(DAMAGES) - {"black-hot"}))
def test_a_stronger_damage_is_further_from_the_original(kind, scene):
    hit = DAMAGES[kind].hits
    errors = [
        np.abs(getattr(damaged(scene, kind, strength, 3), hit).astype(int) - getattr(scene, hit)).mean()
        for strength in STRENGTHS
    ]
    assert errors[0] < errors[1] < errors[2]


@pytest.mark.parametrize("kind", DAMAGES)
def test_grey_visible_and_coloured_infrared_are_taken(kind, scene):
    swapped = Pair(infrared=scene.visible, visible=scene.infrared)
    after = damaged(swapped, kind, 3, 0)
    assert [image.shape for image in after] == [(40, 56, 3), (40, 56)]


def test_infrared_noise_has_no_colour():
    pair = Pair(flat(128, 8, 8, 3), flat(128, 8, 8, 3))
    infrared = damaged(pair, "infrared-noise", 2, 0).infrared
    assert (infrared == infrared[..., :1]).all()
    visible = damaged(pair, "visible-noise", 2, 0).visible
    assert (visible != visible[..., :1]).any()


@pytest.mark.parametrize(("kind", "hit"), [("infrared-noise", "infrared"), ("visible-noise", "visible")])
def test_noise_has_its_deviation(kind, hit):
    pair = Pair(flat(128, 200, 200), flat(128, 200, 200))
    for strength in STRENGTHS:
        levels = getattr(damaged(pair, kind, strength, 0), hit).astype(float)
        # of 40,000 pixels a deviation is known to 1 %; rounding adds 1/12 to the variance
        assert levels.std() == pytest.approx(DAMAGES[kind].amounts[strength - 1], rel=0.02)
        assert abs(levels.mean() - 128) < 0.5


def test_normal_numbers_have_mean_0_and_deviation_1():
    numbers = Random(0, "any").normal(100_000)
    assert abs(numbers.mean()) < 0.02 and abs(numbers.std() - 1) < 0.01
    assert abs(numbers).max() <= 6


def test_stripes_are_columns_and_fainter_rows():
    infrared = damaged(Pair(flat(128, 300, 200), flat(0, 300, 200)), "infrared-stripes", 3, 0).infrared.astype(float)
    assert infrared.mean(axis=0).std() == pytest.approx(20, rel=0.15)
    assert infrared.mean(axis=1).std() == pytest.approx(5, rel=0.15)


def test_coarse_gives_means_of_blocks():
    # every 2×2 block has the mean 10, so nothing but 10 is left
    checks = np.indices((8, 8)).sum(axis=0) % 2 * 20
    assert (coarse(checks.astype(np.uint8)[..., None], 2, Random(0, "any")) == 10).all()


def test_partial_infrared_keeps_one_window():
    infrared = damaged(Pair(flat(90, 100, 60), flat(0, 100, 60)), "infrared-partial", 3, 5).infrared
    rows, columns = np.nonzero(infrared)
    assert set(infrared[rows, columns]) == {90}
    assert len(rows) == 50 * 30
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (50, 30)


def test_dead_pixels_are_black_or_white_and_so_many():
    infrared = damaged(Pair(flat(90, 200, 200), flat(0, 200, 200)), "dead-pixels", 3, 0).infrared
    assert set(np.unique(infrared)) == {0, 90, 255}
    assert (infrared != 90).mean() == pytest.approx(0.05, abs=0.004)
    assert (infrared == 0).sum() == pytest.approx((infrared == 255).sum(), rel=0.1)


def test_dead_blocks_of_a_weaker_strength_are_among_those_of_a_stronger_one():
    pair = Pair(flat(90, 100, 100), flat(0, 100, 100))
    weak, strong = (damaged(pair, "dead-blocks", strength, 0).infrared != 90 for strength in (1, 3))
    assert 100 <= weak.sum() <= 4 * 100
    assert (strong | ~weak).all() and strong.sum() > weak.sum()


def test_blur_of_a_dot_is_three_means():
    dot = np.zeros((9, 9, 1), dtype=np.uint8)
    dot[4, 4] = 243
    # (1 1 1)/3 three times: (1 3 6 7 6 3 1)/27 along each axis; 243 / 729 = 1/3
    weights = np.array([0, 1, 3, 6, 7, 6, 3, 1, 0])
    assert (blur(dot, 1, Random(0, "any"))[..., 0] == np.rint(np.outer(weights, weights) / 3)).all()


def test_blur_leaves_flat_images_alone():
    assert (blur(flat(77, 5, 6, 3), 6, Random(0, "any")) == 77).all()


@pytest.mark.parametrize("seed", range(8))
def test_off_register_moves_by_its_pixels(seed):
    rows, columns = np.mgrid[:40, :50]
    infrared = (rows * 5 + columns).astype(np.uint8)
    moved = damaged(Pair(infrared, infrared), "off-register", 2, seed).infrared.astype(int)
    inside = (moved - infrared)[4:-4, 4:-4]
    steps = {down * 4 * 5 + across * 4 for down in (-1, 0, 1) for across in (-1, 0, 1)} - {0}
    assert len(np.unique(inside)) == 1 and inside[0, 0] in steps


def test_black_hot_at_full_strength_is_the_negative(scene):
    assert (damaged(scene, "black-hot", 3, 0).infrared == 255 - scene.infrared).all()


def test_black_hot_at_half_contrast():
    # 127.5 + (127.5 - 100) / 2 = 141.25
    assert (damaged(Pair(flat(100, 2, 2), flat(0, 2, 2)), "black-hot", 1, 0).infrared == 141).all()


def test_haze_is_a_third_as_dense_at_the_bottom():
    visible = damaged(Pair(flat(0, 11, 4), flat(20, 11, 4)), "haze", 3, 0).visible
    # 0.1 · 20 + 0.9 · 220 above, 0.7 · 20 + 0.3 · 220 below
    assert (visible[0] == 200).all() and (visible[-1] == 80).all()


def test_over_exposure_clips_its_share():
    ramp = np.arange(100, dtype=np.uint8).reshape(10, 10, 1) + 100
    after = over_exposure(ramp, 0.4, Random(0, "any"))
    assert (after == 255).mean() == pytest.approx(0.4, abs=0.02)
    # and a dark image is not made brighter than six times
    assert over_exposure(flat(5, 3, 3, 1), 0.4, Random(0, "any")).max() == 30


def test_low_light_is_dark_and_noisy():
    visible = damaged(Pair(flat(0, 100, 100), flat(200, 100, 100)), "low-light", 2, 0).visible.astype(float)
    # 0.2 · 200, and the noise of 20 + 4
    assert visible.mean() == pytest.approx(40, abs=0.3)
    assert visible.std() == pytest.approx(24**0.5, rel=0.03)


def test_seeds_and_kinds_draw_other_numbers():
    pair = Pair(flat(128, 20, 20), flat(128, 20, 20))
    first, again, other = (damaged(pair, "infrared-noise", 1, seed).infrared for seed in (0, 0, 1))
    assert (first == again).all() and (first != other).any()
    assert (Random(0, "glare").uniform(4) != Random(0, "smoke").uniform(4)).all()


def test_every_kind_hits_one_of_both():
    assert sorted(kinds_that_hit("infrared") + kinds_that_hit("visible")) == sorted(DAMAGES)


@pytest.mark.parametrize(
    ("pair", "kind", "strength", "seed", "message"),
    [
        (Pair(flat(0, 4, 4), flat(0, 4, 4)), "rust", 1, 0, "no damage 'rust'.*infrared-noise"),
        (Pair(flat(0, 4, 4), flat(0, 4, 4)), "haze", 4, 0, "strength is 4.*1, 2, 3"),
        (Pair(flat(0, 4, 4), flat(0, 4, 4)), "haze", 1, -1, "seed is -1"),
        (Pair(flat(0, 4, 4), flat(0, 4, 5)), "haze", 1, 0, r"\(4, 4\), visible \(4, 5\)"),
        (Pair(np.zeros((4, 4)), flat(0, 4, 4)), "haze", 1, 0, "infrared must be.*float64"),
        (Pair(flat(0, 4, 4), flat(0, 4, 4, 4)), "haze", 1, 0, r"visible must be.*\(4, 4, 4\)"),
        (Pair(flat(0, 4, 4), None), "haze", 1, 0, "visible must be.*NoneType"),
    ],
)
def test_bad_input_is_named(pair, kind, strength, seed, message):
    with pytest.raises(ValueError, match=message):
        damaged(pair, kind, strength, seed)
