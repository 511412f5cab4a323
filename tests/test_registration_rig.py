import json

import numpy as np
import pytest
from PIL import Image

from maefuse_hf.inference.coverage import footprint_weights
from maefuse_hf.registration import Rig, load_rig, save_rig, warp_infrared

SHIFT = ((1, 0, 5), (0, 1, 2), (0, 0, 1))


def rig_of(transform=SHIFT, infrared=(40, 30), visible=(60, 50), model="homography"):
    return Rig(infrared, visible, transform, model, 0.9, 3)


def similarity(scale, degrees, shift):
    c, s = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    return np.array([[c, -s, shift[0]], [s, c, shift[1]], [0, 0, 1]])


def test_a_rig_file_comes_back_bit_by_bit(tmp_path):
    rig = rig_of(similarity(1.3, 7, (3, 4)), model="similarity")
    save_rig(rig, tmp_path / "rig.json")
    loaded = load_rig(tmp_path / "rig.json")
    assert np.array_equal(loaded.transform, rig.transform) and loaded.transform.dtype == np.float64
    names = ("infrared_size", "visible_size", "model", "score", "pairs")
    assert all(getattr(loaded, name) == getattr(rig, name) for name in names)
    assert [path.name for path in tmp_path.iterdir()] == ["rig.json"]


def test_the_file_is_as_documented(tmp_path):
    save_rig(rig_of(), tmp_path / "rig.json")
    assert json.loads((tmp_path / "rig.json").read_text()) == {
        "maefuse_rig": 1,
        "infrared_size": [40, 30],
        "visible_size": [60, 50],
        "transform": [[1, 0, 5], [0, 1, 2], [0, 0, 1]],
        "model": "homography",
        "score": 0.9,
        "pairs": 3,
    }


def test_the_last_entry_becomes_1():
    assert np.array_equal(rig_of(2 * np.array(SHIFT, float)).transform, SHIFT)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"maefuse_rig": 2}, "another version"),
        ({"maefuse_rig": None}, "lacks 'maefuse_rig'"),
        ({"pairs": None}, r"lacking \['pairs'\]"),
        ({"lens": 1}, r"unknown \['lens'\]"),
        ({"pairs": 0}, "pairs is 0"),
        ({"pairs": True}, "pairs is True"),
        ({"score": 1.5}, "score is 1.5"),
        ({"score": float("nan")}, "score is nan"),
        ({"model": "affine"}, "there are similarity, homography"),
        ({"model": "similarity", "transform": [[1, 0.1, 0], [0, 1, 0], [0, 0, 1]]}, "no similarity"),
        ({"infrared_size": [40, 30.5]}, "infrared_size"),
        ({"visible_size": 60}, "visible_size is 60"),
        ({"transform": [[1, 0], [0, 1]]}, "three rows"),
        ({"transform": [["a", 0, 0], [0, 1, 0], [0, 0, 1]]}, "three rows"),
        ({"transform": [[1, 0, float("inf")], [0, 1, 0], [0, 0, 1]]}, "finite"),
        ({"transform": [[-1, 0, 40], [0, 1, 0], [0, 0, 1]]}, "mirrors"),
        ({"transform": [[0, 0, 5], [0, 0, 5], [0, 0, 1]]}, "mirrors"),
        ({"transform": [[1, 0, 0], [0, 1, 0], [-0.03, 0, 1]]}, "horizon"),
        ({"transform": [[1, 0, 60], [0, 1, 0], [0, 0, 1]]}, "outside of the photo of 60×50"),
    ],
)
def test_only_whole_rig_files_are_read(tmp_path, change, message):
    path = tmp_path / "rig.json"
    save_rig(rig_of(), path)
    values = json.loads(path.read_text()) | change
    path.write_text(json.dumps({name: value for name, value in values.items() if value is not None}))
    with pytest.raises(ValueError, match=message):
        load_rig(path)


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '"rig"', "\xff"])
def test_other_files_are_no_rig_files(tmp_path, content):
    (tmp_path / "rig.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match="is no rig file"):
        load_rig(tmp_path / "rig.json")


def test_a_missing_rig_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"rig\.json"):
        load_rig(tmp_path / "rig.json")


def test_other_sizes_are_refused_with_both():
    with pytest.raises(ValueError, match="infrared of 40×30 and a photo of 60×50; these have 40×30 and 120×100"):
        rig_of().require_sizes((40, 30), (120, 100))
    with pytest.raises(ValueError, match="these have 41×30"):
        warp_infrared(np.zeros((30, 41)), rig_of())


def test_footprint_and_bounds():
    rig = rig_of(similarity(2, 90, (60, 0)), visible=(80, 90), model="similarity")
    assert rig.footprint == pytest.approx(np.array([(60, 0), (60, 80), (0, 80), (0, 0)]), abs=1e-9)
    assert rig.bounds == pytest.approx((0, 0, 60, 80), abs=1e-9)


def test_a_shift_in_whole_pixels_moves_pixels_and_repeats_the_edge():
    infrared = np.random.default_rng(0).random((30, 40), np.float32)
    warped = warp_infrared(infrared, rig_of())
    assert warped.shape == (50, 60) and warped.dtype == np.float32
    assert warped[2:32, 5:45] == pytest.approx(infrared, abs=1e-4)
    assert warped[10, :5] == pytest.approx(np.full(5, infrared[8, 0]), abs=1e-4)
    assert warped[45, 20] == pytest.approx(infrared[29, 15], abs=1e-4)


def test_a_pixels_centre_lies_at_one_half():
    """Infrared enlarged by 2 about its corner: its pixel i, centre i + 0.5, has its centre in the photo at 2 i + 1."""
    ramp = np.tile(np.arange(40, dtype=np.float32), (30, 1))
    warped = warp_infrared(ramp, rig_of(np.diag((2, 2, 1)), visible=(80, 60)))
    places = (np.arange(80) + 0.5) / 2 - 0.5
    assert warped[30, 6:-6] == pytest.approx(places[6:-6], abs=0.05)


def test_a_region_is_a_cut_of_the_whole():
    infrared = np.random.default_rng(0).random((30, 40), np.float32)
    rig = rig_of(((1.1, 0.1, 3), (-0.1, 1.2, 4), (1e-3, 5e-4, 1)))
    whole = warp_infrared(infrared, rig)
    assert warp_infrared(infrared, rig, (7, 8, 41, 32)) == pytest.approx(whole[8:32, 7:41], abs=1e-5)


def test_a_tall_photo_is_warped_in_bands_without_a_seam():
    across, down = np.meshgrid(np.arange(40) + 0.5, np.arange(600) + 0.5)
    rig = rig_of(np.diag((1, 1, 1)), (40, 600), (40, 600))
    assert warp_infrared(across + 2 * down, rig) == pytest.approx(across + 2 * down, abs=0.01)
    footprint = np.array([(2, 1), (38, 1), (38, 599), (2, 599)], float)
    weights = footprint_weights(footprint, (2, 1, 38, 599), (40, 600))
    assert weights.shape == (598, 36)
    assert np.array_equal(weights[9:-9], np.tile(weights[300], (580, 1))) and np.array_equal(weights, weights[::-1])


def test_fine_infrared_is_shrunk_without_aliasing():
    stripes = np.tile(np.array([0, 1], np.float32), (100, 100))
    warped = warp_infrared(stripes, rig_of(np.diag((0.2, 0.2, 1)), (200, 100), (40, 20)))
    assert np.ptp(warped[4:-4, 4:-4]) < 0.05
    antialiased = np.asarray(Image.fromarray(stripes).resize((40, 20), Image.Resampling.BICUBIC))
    assert warped == pytest.approx(antialiased, abs=1e-4)
