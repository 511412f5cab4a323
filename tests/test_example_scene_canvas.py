from __future__ import annotations

import numpy as np
import pytest

from maefuse_hf.example_scene.canvas import (
    EYE_HEIGHT,
    Canvas,
    Material,
    blur,
    expose_infrared,
    fractal_noise,
    reduced,
    sample,
)

COLD, WARM = Material((0.1, 0.2, 0.3), 5.0), Material((0.4, 0.4, 0.4), 30.0)


@pytest.fixture
def canvas() -> Canvas:
    return Canvas(96, 128)


def upright(depth: float, half: float = 1.0) -> list[tuple[float, float, float]]:
    return [(x * half, EYE_HEIGHT + y * half, depth) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))]


def test_projection(canvas: Canvas) -> None:
    # Focal length 0.8 * 128 = 102.4 pixels, centre (64, 0.47 * 96 = 45.12).
    assert canvas.project((0.0, EYE_HEIGHT, 7.0)) == pytest.approx((64.0, 45.12))
    assert canvas.project((1.0, EYE_HEIGHT + 2.0, 10.24)) == pytest.approx((74.0, 25.12))


def test_fill_paints_every_buffer(canvas: Canvas) -> None:
    canvas.fill(upright(10.24), WARM, label=7)
    assert canvas.heat[45, 64] == 30.0
    assert canvas.depth[45, 64] == pytest.approx(10.24)
    np.testing.assert_allclose(canvas.normal[45, 64], (0, 0, -1), atol=1e-6)
    np.testing.assert_allclose(canvas.colour[45, 64], 0.4)
    rows, columns = np.nonzero(canvas.label == 7)
    assert abs(np.ptp(rows) + 1 - 20) <= 1
    assert abs(np.ptp(columns) + 1 - 20) <= 1


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_nearest_surface_is_seen_in_whatever_order_they_are_painted(canvas: Canvas, order: tuple[int, int]) -> None:
    surfaces = ((upright(20.0, 4.0), WARM), (upright(10.0), COLD))
    for index in order:
        canvas.fill(*surfaces[index])
    assert canvas.heat[45, 64] == COLD.heat
    assert canvas.heat[45, 64 + 15] == WARM.heat


def test_a_floor_has_the_depth_of_its_pixels(canvas: Canvas) -> None:
    canvas.fill([(-5.0, 0.0, 4.0), (5.0, 0.0, 4.0), (5.0, 0.0, 40.0), (-5.0, 0.0, 40.0)], COLD)
    np.testing.assert_allclose(canvas.normal[70, 64], (0, 1, 0), atol=1e-6)
    # Row 70 looks down by (70.5 - 45.12) pixels.
    assert canvas.depth[70, 64] == pytest.approx(EYE_HEIGHT * 102.4 / 25.38, rel=1e-4)


def test_what_is_outside_the_image_is_not_painted(canvas: Canvas) -> None:
    canvas.fill([(90.0, 1.0, 10.0), (95.0, 1.0, 10.0), (95.0, 3.0, 10.0)], WARM, label=1)
    canvas.write("far", (90.0, 1.0, 10.0), 3.0, 1.0, WARM)
    canvas.stain_ground(90.0, 10.0, 0.5, 0.5, shade=1.0, warmth=9.0)
    canvas.round_off(1, radius=0.1, cooling=3.0)
    assert not canvas.heat.any()
    assert not canvas.label.any()


def test_ink_changes_light_and_not_heat(canvas: Canvas) -> None:
    canvas.fill(upright(5.0), COLD)
    heat, glow = canvas.heat.copy(), canvas.glow.copy()
    canvas.write("HI", (-0.8, EYE_HEIGHT - 0.5, 5.0), 1.6, 1.0, Material((0, 0, 0), 90.0, (1.0, 1.0, 1.0)))
    np.testing.assert_array_equal(canvas.heat, heat)
    assert 0.2 < (canvas.glow[:, :, 0] > 0.5).sum() / ((102.4 / 5) ** 2 * 1.6) < 0.8
    assert not glow.any()


def test_stains_stay_on_the_ground(canvas: Canvas) -> None:
    canvas.depth[:] = EYE_HEIGHT / np.maximum(-canvas.up, 1e-3)
    canvas.colour[:] = 1.0
    canvas.gloss[60:, :64] = 0.1
    canvas.stain_ground(0.0, 6.0, 1.0, 1.0, shade=0.5, warmth=4.0)
    assert not canvas.heat[:, 64:].any()
    row = int(canvas.project((0.0, 0.0, 6.0))[1])
    assert canvas.heat[row, 63] == pytest.approx(4.0, rel=0.01)
    assert canvas.colour[row, 63, 0] == pytest.approx(0.5, rel=0.01)


def test_rounding_cools_the_rim_and_turns_it_away(canvas: Canvas) -> None:
    canvas.fill(upright(5.0), WARM, label=3)
    canvas.round_off(3, radius=0.2, cooling=6.0)
    row = 45
    columns = np.nonzero(canvas.label[row] == 3)[0]
    left, middle, right = columns[0], columns[columns.size // 2], columns[-1]
    assert canvas.heat[row, middle] == pytest.approx(30.0, abs=0.1)
    assert 23.5 < canvas.heat[row, left] < 26.0
    assert canvas.normal[row, left, 0] < -0.3 < 0.3 < canvas.normal[row, right, 0]


def test_covered_wants_all_supersamples() -> None:
    canvas = Canvas(8, 8)
    canvas.label[2:4, 2:4] = 9
    canvas.label[4, 4] = 9
    assert np.argwhere(canvas.covered(9)).tolist() == [[1, 1]]


def test_reduced_is_the_mean_of_blocks() -> None:
    image = np.arange(16, dtype=np.float32).reshape(4, 4)
    np.testing.assert_array_equal(reduced(image), [[2.5, 4.5], [10.5, 12.5]])


def test_blur_keeps_constants_and_spreads_a_point_evenly() -> None:
    np.testing.assert_allclose(blur(np.full((9, 7), 3.0, np.float32), 2.0), 3.0, rtol=1e-5)
    point = np.zeros((21, 21), np.float32)
    point[10, 10] = 1.0
    spread = blur(point, 1.5)
    assert spread.sum() == pytest.approx(1.0, rel=1e-5)
    np.testing.assert_allclose(spread, spread.T, atol=1e-7)


def test_noise_is_normalised_and_repeats_for_ever() -> None:
    noise = fractal_noise(np.random.default_rng(0), 1.0)
    assert noise.mean() == pytest.approx(0.0, abs=1e-4)
    assert noise.std() == pytest.approx(1.0, rel=1e-4)
    texels = np.array([3.0])
    assert sample(noise, texels, texels) == sample(noise, texels + len(noise), texels + 3 * len(noise))


def test_hotter_is_brighter_in_infrared() -> None:
    canvas = Canvas(40, 60)
    canvas.heat[:] = np.repeat((-20.0, 10.0, 33.0), 20)[None, :]
    levels = np.asarray(expose_infrared(canvas, np.random.default_rng(0)), np.float64)
    cold, mild, hot = (levels[:, start : start + 4].mean() for start in (3, 13, 23))
    assert cold < 30 < 60 < mild < 90 < 230 < hot
