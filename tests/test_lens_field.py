import numpy as np
import pytest
from PIL import Image

from benchmarks.lens_field import LensField, load_field, measured_field, peak, save_field, terms, vertex
from maefuse_hf.registration.agreement import REACH

SIZE = 320, 240


def constant_field(across, down):
    coefficients = np.zeros((10, 2))
    coefficients[0] = across, down
    return LensField(SIZE, (24.0, 24.0), (296.0, 216.0), coefficients)


def test_terms_are_counted_from_the_middle_in_halves_of_the_longer_side():
    at = terms(np.array([(160.0, 120.0), (320.0, 40.0)]), SIZE)
    assert at[0].tolist() == [1] + 9 * [0]
    # 1, y, y², y³, x, xy, xy², x², x²y, x³ at x = 1, y = -1/2
    assert at[1].tolist() == [1, -0.5, 0.25, -0.125, 1, -0.5, 0.25, 1, -0.5, 1]


def test_a_parabolas_vertex_and_a_peak_between_steps():
    assert vertex(0, 1, 0) == 0 and vertex(*(-((x - 0.3) ** 2) for x in (-1, 0, 1))) == pytest.approx(0.3)
    assert vertex(1, 1, 1) == 0
    rows, columns = np.mgrid[-REACH : REACH + 1, -REACH : REACH + 1]
    assert peak(-((columns - 2.2) ** 2) - (rows + 3.4) ** 2) == pytest.approx((2.2, -3.4))


def test_infrared_is_moved_by_the_field():
    infrared = np.random.default_rng(0).integers(0, 256, SIZE[::-1], dtype=np.uint8)
    moved = constant_field(5, -3).corrected(infrared)
    assert np.array_equal(moved[:-3, 5:], infrared[3:, :-5])
    with pytest.raises(ValueError, match="of 320×240; this is 100×90"):
        constant_field(5, -3).corrected(np.zeros((90, 100), np.uint8))


def test_the_field_goes_on_as_at_the_edge_of_what_was_measured():
    coefficients = np.zeros((10, 2))
    coefficients[4] = 10, 0
    field = LensField(SIZE, (80.0, 24.0), (240.0, 216.0), coefficients)
    assert field.at(np.array([(240.0, 0.0), (320.0, 0.0), (0.0, 0.0)])).tolist() == [[5, 0], [5, 0], [-5, 0]]


def test_a_known_field_is_measured():
    noise = np.random.default_rng(0).integers(0, 256, (2, 120, 160), dtype=np.uint8)
    scenes = [np.asarray(Image.fromarray(scene).resize(SIZE, Image.Resampling.BICUBIC)) for scene in noise]
    displaced = [(constant_field(-4, 2).corrected(255 - scene), scene) for scene in scenes]
    places = np.array([(160.0, 120.0), (80.0, 60.0), (240.0, 180.0)])
    assert measured_field(displaced).at(places) == pytest.approx(np.tile((4, -2), (3, 1)), abs=0.1)


def test_a_fields_file_comes_back(tmp_path):
    field = constant_field(1.5, -0.25)
    save_field(field, tmp_path / "field.json")
    loaded = load_field(tmp_path / "field.json")
    assert (loaded.size, loaded.low, loaded.high) == (field.size, field.low, field.high)
    assert np.array_equal(loaded.coefficients, field.coefficients)
