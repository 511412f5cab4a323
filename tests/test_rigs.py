import json

import numpy as np
import pytest
from PIL import Image

from benchmarks import rigs
from benchmarks.registration import random_warp
from benchmarks.rigs import Case, Drawn, drawn_rigs, error_of, errors_of, rows_of
from maefuse_hf.registration import MODELS, Registration, RegistrationRefusedError, Rig
from maefuse_hf.registration.geometry import corner_distance, shift, similarity

SIZE = 200, 100


def grid():
    """Numbers of (H, W) that tell which pixel each was: 1,000 times the row and the column."""
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]]
    return (1000 * rows + columns).astype(np.float32)


def stand_in(monkeypatch, *places):
    """Let one call after the other find infrared at a place, or refuse for None; what was asked comes into the list."""
    answers, asked = iter(places), []

    def register_pairs(pairs, model):
        asked.append((pairs, model))
        transform = next(answers)
        if transform is None:
            raise RegistrationRefusedError("No.")
        (infrared, visible), *_ = pairs
        rig = Rig(infrared.shape[::-1], visible.shape[::-1], transform, model, 1.0, len(pairs))
        return Registration(rig, True, tuple(range(len(pairs))), 1.0, 100.0)

    monkeypatch.setattr(rigs, "register_pairs", register_pairs)
    return asked


def test_rigs_are_drawn_by_turns_and_no_pair_twice():
    drawn = drawn_rigs(np.random.default_rng(4), 25, SIZE, 3, 12)
    assert [rig.model for rig in drawn] == 3 * list(MODELS)
    assert all(len(set(rig.places)) == 12 and set(rig.places) <= set(range(25)) for rig in drawn)
    # bent where it is a homography, as for single pairs
    assert [bool(rig.warp[2, :2].any()) for rig in drawn] == 3 * [False, True]
    again = drawn_rigs(np.random.default_rng(4), 25, SIZE, 1, 12)
    for rig, same in zip(drawn, again):
        assert rig.places == same.places and np.array_equal(rig.warp, same.warp)


def test_a_rigs_warp_is_that_of_the_single_pairs():
    (similar, bent), rng = drawn_rigs(np.random.default_rng(4), 3, SIZE, 1, 3), np.random.default_rng(4)
    for rig in (similar, bent):
        assert rig.places == rng.permutation(3).tolist()
        assert np.array_equal(rig.warp, random_warp(rng, SIZE, rig.model))


def test_too_few_pairs_for_a_rig():
    with pytest.raises(ValueError, match="There are 5 pairs; a rig of 6 needs as many"):
        drawn_rigs(np.random.default_rng(0), 5, SIZE, 1, 6)


def test_the_error_is_counted_from_the_reference(monkeypatch):
    """All pairs show the warp, (4, 2) pixels, in one part of the photo; infrared lies 3 pixels to the right of it."""
    asked = stand_in(monkeypatch, shift(7, 6))
    pairs = [(grid(), grid() + number) for number in (0, 1)]
    error, beside = errors_of(pairs, Drawn("similarity", [0, 1], shift(4, 2)), shift(3, 0))
    assert error == pytest.approx(4) and beside is None
    [(moved, model)] = asked
    assert model == "similarity" and len(moved) == 2
    for number, (infrared, visible) in enumerate(moved):
        # cut by as much on both sides, until nothing blank is seen: the warp takes the part 4 and 2 pixels on
        height, width = visible.shape
        left, top = (SIZE[0] - width) // 2, (SIZE[1] - height) // 2
        assert left >= 4 and top >= 2
        assert visible[0, 0] == 1000 * top + left + number
        assert infrared[10, 10] == pytest.approx(1000 * (top + 12) + left + 14, abs=0.1)


def test_a_single_pair_is_also_counted_from_its_own_place(monkeypatch):
    """Infrared lies 5 pixels to the right of its truth, and unwarped already 4."""
    turn = shift(100, 50) @ similarity(1.1, 0.05) @ shift(-100, -50)
    pair = grid(), grid()
    asked = stand_in(monkeypatch, None)
    assert errors_of([pair], Drawn("homography", [0], turn), np.eye(3)) == (None, None)
    width, height = asked[0][0][0][1].shape[::-1]
    left, top = (SIZE[0] - width) // 2, (SIZE[1] - height) // 2
    assert left > 0
    place = shift(-left, -top) @ turn @ shift(left, top)
    asked = stand_in(monkeypatch, shift(5, 0) @ place, shift(4, 0))
    error, beside = errors_of([pair], Drawn("homography", [0], turn), np.eye(3))
    assert (error, beside) == pytest.approx((5, 1))
    # unwarped it is the same part of both images
    assert [model for _, model in asked] == 2 * ["homography"]
    ((infrared, visible),) = asked[1][0]
    assert np.array_equal(infrared, grid()[top : top + height, left : left + width])
    assert np.array_equal(infrared, visible)
    stand_in(monkeypatch, shift(5, 0) @ place, None)
    assert errors_of([pair], Drawn("homography", [0], turn), np.eye(3)) == (pytest.approx(5), None)


def test_the_error_of_a_rig():
    rig = Rig(SIZE, SIZE, shift(3, 4), "similarity", 1.0, 1)
    assert error_of(rig, np.eye(3)) == pytest.approx(5) == corner_distance(rig.transform, np.eye(3), SIZE)
    assert error_of(None, np.eye(3)) is None


def test_a_row_for_each_kind_and_number():
    def case(model, pairs, error, beside=None):
        return Case("a", model, list("xyz"[:pairs]), error, beside)

    cases = [
        case("homography", 3, 1.0),
        case("homography", 3, None),
        case("homography", 1, 2.5, 0.5),
        case("homography", 1, 4.0, None),
        case("homography", 1, 7.0, 3.5),
        case("homography", 1, None),
        case("similarity", 3, 3.0),
    ]
    assert rows_of(cases, {"b"}) == [
        ["a, similarity", "3", "1", "0", "0", "100", "0", "3.0", "–"],
        ["a, homography", "1", "4", "0", "25", "50", "25", "4.0", "25"],
        ["a, homography", "3", "2", "50", "50", "50", "50", "1.0", "–"],
    ]
    [row] = rows_of([case("similarity", 3, None)], {"a"})
    assert row == ["a, similarity, by the rig", "3", "1", "0", "0", "0", "100", "nan", "–"]


def test_a_run_measures_once_and_writes_its_table(tmp_path, monkeypatch, capsys):
    """Three pairs of noise; a rig of each kind from one pair and from two, found where infrared is unwarped."""
    for kind in ("infrared", "visible"):
        (tmp_path / kind).mkdir()
        for name in "abc":
            noise = np.random.default_rng(0).integers(0, 256, SIZE[::-1], dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / kind / f"{name}.png")
    page, out = tmp_path / "page.md", tmp_path / "out"
    page.write_text("<!-- rigs -->\n<!-- /rigs -->\n")
    monkeypatch.setattr(rigs, "RIGS", {1: 1, 2: 1})
    monkeypatch.setattr("sys.argv", ["rigs", f"noise={tmp_path}", "-o", str(out), "--write-docs", str(page)])
    asked = stand_in(monkeypatch, *6 * [np.eye(3)])
    rigs.main()
    # a single pair is registered unwarped too
    assert [len(pairs) for pairs, _ in asked] == [1, 1, 1, 1, 2, 2]
    cases = json.loads((out / "rigs.json").read_text())["cases"]
    assert [(case["model"], len(case["pairs"])) for case in cases] == [(model, n) for n in (1, 2) for model in MODELS]
    for alone, of_two in zip(cases[:2], cases[2:]):
        assert alone["pairs"] == of_two["pairs"][:1] and alone["error"] == of_two["error"] == alone["beside_own"]
    table = (out / "rigs.md").read_text()
    assert table.count("noise, ") == 4 and page.read_text() == f"<!-- rigs -->\n{table}<!-- /rigs -->\n"
    assert "noise, homography" in capsys.readouterr().out

    rigs.main()
    assert len(asked) == 6 and (out / "rigs.md").read_text() == table
