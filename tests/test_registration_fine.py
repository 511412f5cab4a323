import numpy as np
import pytest

from maefuse_hf.registration.agreement import CELL, LocalShifts, local_shifts, part_correlations
from maefuse_hf.registration.fine import SHARPNESS, STRAYS, PartLikelihood, bent, climb, moves
from maefuse_hf.registration.geometry import (
    closest_similarity,
    corner_distance,
    corners,
    shift,
    similarity,
    transformed,
)
from maefuse_hf.registration.registering import EVIDENCE

SIZE = 100, 100


def shifts_of(correlations, places=((50.0, 40.0),)):
    return LocalShifts(np.array(places), np.array(correlations, float), np.array((2.0, 2.0)), 1.5)


def one_peak(row, column, height=0.5):
    correlations = np.zeros((1, 5, 5))
    correlations[0, row, column] = height
    return correlations


def test_the_closest_similarity_is_exact_where_there_is_one():
    truth = shift(3, -2) @ similarity(1.2, 0.3)
    assert closest_similarity(corners(SIZE), transformed(truth, corners(SIZE))) == pytest.approx(truth)
    stretched = np.diag((1.02, 0.98, 1))
    assert closest_similarity(corners(SIZE), transformed(stretched, corners(SIZE))) == pytest.approx(shift(1, -1))


def test_how_far_a_homography_is_bent():
    """A square's corners, one pixel off in both directions each: √8 of 100."""
    assert bent(np.diag((1.02, 0.98, 1)), SIZE) == pytest.approx(np.sqrt(8) / 100)
    assert bent(shift(5, 4) @ similarity(1.3, 0.2), SIZE) == pytest.approx(0)


def test_a_part_says_where_it_would_lie_and_how_far_that_is():
    shifts = shifts_of(one_peak(row=3, column=1))
    assert shifts.steps.tolist() == [[-1, 1]] and shifts.shifts.tolist() == [[-2, 2]]
    assert shifts.agreement == 1 and shifts.correlation == 0
    far = shifts_of(one_peak(row=4, column=2))
    assert far.agreement == 0 and shifts_of(one_peak(2, 2)).correlation == 0.5
    nothing = shifts_of(np.zeros((0, 5, 5)), np.zeros((0, 2)))
    assert nothing.agreement == 0 and nothing.correlation == 0 and nothing.steps.shape == (0, 2)


def test_a_parts_likelihood_beside_chance():
    """One place of 25 with correlation 0.5, and all others with 0."""
    likelihood = PartLikelihood(shifts_of(one_peak(row=3, column=1)), np.eye(3))
    mean = (np.exp(SHARPNESS / 2) + 24) / 25
    best, other = (np.log((1 - STRAYS) * value / mean + STRAYS) for value in (np.exp(SHARPNESS / 2), 1))
    assert likelihood(shift(-2, 2)) == pytest.approx(best, abs=1e-5)
    assert likelihood(np.eye(3)) == pytest.approx(other, abs=1e-5)
    # beyond reach it is as at the edge: by no more than a stray
    assert likelihood(shift(50, 0)) == pytest.approx(other, abs=1e-5) and other > np.log(STRAYS)


def test_parts_that_know_nothing_say_nothing():
    assert PartLikelihood(shifts_of(np.full((1, 5, 5), 0.3)), np.eye(3))(shift(1, 1)) == pytest.approx(0, abs=1e-6)
    assert PartLikelihood(shifts_of(np.zeros((0, 5, 5)), np.zeros((0, 2))), np.eye(3))(np.eye(3)) == 0


def test_parts_do_not_mix():
    """Two parts with peaks in unlike places: each is looked up in its own."""
    correlations = np.concatenate([one_peak(2, 2), one_peak(0, 2)])
    both = PartLikelihood(shifts_of(correlations, [(20.0, 20.0), (60.0, 60.0)]), np.eye(3))
    alone = [PartLikelihood(shifts_of(correlations[[part]]), np.eye(3)) for part in (0, 1)]
    for step in ((0, 0), (0, -4), (1, -1)):
        assert both(shift(*step)) == pytest.approx(sum(part(shift(*step)) for part in alone), abs=1e-5)


def test_correlations_of_a_part_of_the_photo_itself():
    rng = np.random.default_rng(0)
    field = (rng.normal(size=(60, 60)) + 1j * rng.normal(size=(60, 60))).astype(np.complex64)
    reach = (60 - CELL) // 2
    part = field[reach + 2 : reach + 2 + CELL, reach - 3 : reach - 3 + CELL]
    correlations = part_correlations(part[None], field[None])
    assert correlations.shape == (1, 2 * reach + 1, 2 * reach + 1)
    assert correlations[0, reach + 2, reach - 3] == pytest.approx(1, abs=1e-3)
    assert np.sort(np.abs(correlations).ravel())[-2] < 0.2


def test_eight_steps_of_which_four_keep_a_similarity():
    start = shift(10, 5) @ similarity(1.1, 0.1)
    free, similar = (moves(SIZE, start, model, 2.0) for model in ("homography", "similarity"))
    assert free(np.zeros(8)) == pytest.approx(start, abs=1e-4) and similar(np.zeros(4)) == pytest.approx(start)
    steps = np.array((1.0, -2, 3, 0.5))
    # √8 is the length of a shift by one pixel at all four corners
    assert corner_distance(similar(steps * (1, 1, 0, 0)), start, SIZE) == pytest.approx(2 * np.sqrt(5) / 2)
    assert free(np.append(steps, np.zeros(4))) == pytest.approx(similar(steps), abs=1e-3)
    assert bent(free(np.append(steps, (1, 0, 0, 0))), SIZE) > 0.01


def test_a_climb_without_parts_stays_where_it_is():
    grey = np.random.default_rng(0).uniform(0, 255, (40, 40)).astype(np.float32)
    assert not len(local_shifts(grey, grey, np.eye(3)).places)
    transform, evidence = climb([(grey, grey)], np.eye(3), "similarity", 320, 8)
    assert transform == pytest.approx(np.eye(3), abs=1e-6) and evidence == pytest.approx(0, abs=1e-6)


def test_a_climb_finds_back(rendered_greys):
    infrared, visible = rendered_greys
    start = shift(7, -5) @ similarity(1.01, 0.01)
    transform, evidence = climb([(infrared, visible)], start, "similarity", 320, 16)
    again, more = climb([(infrared, visible)], transform, "similarity", 320, 8)
    size = infrared.shape[::-1]
    assert corner_distance(again, np.eye(3), size) < 1 < corner_distance(start, np.eye(3), size)
    assert more > EVIDENCE and evidence > EVIDENCE


@pytest.fixture
def rendered_greys():
    from maefuse_hf.example_scene.scene import render_example_pair

    return tuple(np.asarray(image.convert("L")).astype(np.float32) for image in render_example_pair(240, 320, seed=3))
