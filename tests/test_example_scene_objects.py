from __future__ import annotations

import numpy as np
import pytest

from maefuse_hf.example_scene.canvas import Canvas
from maefuse_hf.example_scene.objects import (
    AIR_TEMPERATURE,
    SIGN_LABEL,
    Outfit,
    Walk,
    paint_cafe,
    paint_car,
    paint_dog,
    paint_lamp,
    paint_person,
)


@pytest.fixture
def canvas() -> Canvas:
    empty = Canvas(480, 640)
    empty.heat[:] = AIR_TEMPERATURE
    return empty


def rows_of(canvas: Canvas, label: int) -> np.ndarray:
    return np.nonzero((canvas.label == label).any(axis=1))[0]


@pytest.mark.parametrize("faces_camera", [True, False])
def test_a_person_is_as_tall_as_asked_and_warmest_at_the_head(canvas: Canvas, faces_camera: bool) -> None:
    outfit = Outfit((0.3, 0.2, 0.1), (0.1, 0.1, 0.1), faces_camera=faces_camera)
    paint_person(canvas, 0.0, 8.0, outfit, Walk(stride=0.5, height=1.75), label=1)
    rows = rows_of(canvas, 1)
    assert np.ptp(rows) / canvas.focal * 8.0 == pytest.approx(1.75, abs=0.06)
    inside = canvas.label == 1
    head = slice(rows[0], rows[0] + rows.size // 5)
    assert canvas.heat[head][inside[head]].max() == canvas.heat[inside].max()
    assert canvas.heat[inside].mean() > AIR_TEMPERATURE + 8


def test_the_sign_of_the_stride_mirrors_the_walk(canvas: Canvas) -> None:
    other = Canvas(480, 640)
    for target, stride in ((canvas, 0.8), (other, -0.8)):
        outfit = Outfit((0.3, 0.2, 0.1), (0.1, 0.1, 0.1))
        paint_person(target, 0.0, 3.5, outfit, Walk(stride, height=1.7), label=1)
    ours, mirrored = canvas.label == 1, other.label[:, ::-1] == 1
    assert (ours & mirrored).sum() / (ours | mirrored).sum() > 0.9


def test_a_dog_is_warm_and_small(canvas: Canvas) -> None:
    paint_dog(canvas, 0.0, 8.0, hand=(1.0, 0.85, 8.0), label=2)
    assert 0.6 < np.ptp(rows_of(canvas, 2)) / canvas.focal * 8.0 < 1.0
    assert canvas.heat[canvas.label == 2].mean() > AIR_TEMPERATURE + 8


def test_only_a_working_lamp_is_hot_and_gives_light(canvas: Canvas) -> None:
    paint_lamp(canvas, 2.0, 12.0, works=False)
    assert canvas.lights == []
    assert canvas.heat.max() == AIR_TEMPERATURE
    paint_lamp(canvas, -2.0, 12.0, works=True)
    assert len(canvas.lights) == 1
    assert canvas.heat.max() > 40
    column, row = (int(value) for value in canvas.project((-0.9, 5.29, 12.0)))
    assert canvas.heat[row, column] == canvas.heat.max()
    assert canvas.glow[row, column].min() > 1


@pytest.mark.parametrize("driving", [True, False])
def test_a_car_is_warm_if_it_drives_and_colder_than_the_air_if_it_parks(canvas: Canvas, driving: bool) -> None:
    paint_car(canvas, -2.0, 10.0, (0.2, 0.1, 0.1), driving)
    painted = canvas.depth < 100
    assert (canvas.heat[painted].mean() > AIR_TEMPERATURE) == driving
    assert sum(light.glare > 0 for light in canvas.lights) == (2 if driving else 0)


def test_the_letters_of_the_sign_shine_and_are_no_warmer_than_the_sign(canvas: Canvas) -> None:
    paint_cafe(canvas, 9.5)
    sign = canvas.label == SIGN_LABEL
    assert sign.sum() > 4000
    assert np.ptp(canvas.heat[sign]) == 0
    assert canvas.glow[sign].max() > 2
    assert np.median(canvas.glow[sign]) < 0.1
