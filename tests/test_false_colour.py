"""Palettes are taken back to their scale where that is certain, and nothing is changed where it is not."""

import logging

import matplotlib
import numpy as np
import pytest
from PIL import Image
from transformers.utils import logging as transformers_logging

from maefuse_hf import MaeFuseImageProcessor
from maefuse_hf.cli import main
from maefuse_hf.evaluation.runner import read_source
from maefuse_hf.example_scene.scene import render_example_pair
from maefuse_hf.false_colour import CURVES, heat_of, is_coloured, recovered_scale
from maefuse_hf.inference.file_fusion import infrared_pixels

HEAT = np.asarray(render_example_pair(64, 72)[0])
VISIBLE = np.asarray(render_example_pair(64, 72)[1])
RAMP = np.arange(256, dtype=np.uint8).reshape(8, 32)


def jet(levels):
    """MATLAB's and OpenCV's "jet" by its formula: channels are trapezia of slope 4 around 3/4, 1/2 and 1/4."""
    places = levels / 255
    channels = [1.5 - np.abs(4 * places - 4 * centre) for centre in (3 / 4, 2 / 4, 1 / 4)]
    return np.round(255 * np.stack(channels, axis=-1).clip(0, 1)).astype(np.uint8)


def of_matplotlib(name):
    return lambda levels: np.round(255 * matplotlib.colormaps[name](levels)[..., :3]).astype(np.uint8)


PAINTED = {
    "jet": jet,
    "jet (matplotlib)": of_matplotlib("jet"),
    "hot": of_matplotlib("hot"),
    "inferno": of_matplotlib("inferno"),
}


def planes(image):
    return np.moveaxis(image, -1, 0)


class TestScale:
    def test_every_curve_is_tested(self):
        assert PAINTED.keys() == CURVES.keys()

    @pytest.mark.parametrize("name", PAINTED)
    @pytest.mark.parametrize("levels", [RAMP, HEAT], ids=["ramp", "scene"])
    def test_the_palette_is_named_and_its_scale_recovered(self, name, levels):
        palette, scale = recovered_scale(planes(PAINTED[name](levels)))
        assert palette == name and scale.shape == (1, *levels.shape) and scale.dtype == np.uint8
        # matplotlib's jet has one and the same blue for five levels
        assert np.abs(scale[0].astype(int) - levels).max() <= (2 if name == "jet (matplotlib)" else 1)

    def test_luminance_was_far_off(self):
        luminance = np.asarray(Image.fromarray(jet(RAMP)).convert("L")).astype(int)
        assert np.abs(luminance - RAMP).max() > 100

    def test_one_pixel_beside_the_curve_is_enough_to_leave_all_as_it_is(self):
        painted = jet(HEAT)
        painted[5, 5] = 128, 128, 128
        assert recovered_scale(planes(painted)) is None

    @pytest.mark.parametrize("name", ["viridis", "plasma", "gray", "bone", "coolwarm"])
    def test_other_palettes_are_not_mistaken(self, name):
        assert recovered_scale(planes(of_matplotlib(name)(RAMP))) is None

    def test_few_colours_prove_nothing(self):
        assert recovered_scale(planes(jet(RAMP // 16 * 16))) is None

    def test_photos_are_not_mistaken(self):
        assert recovered_scale(planes(VISIBLE)) is None


class TestColoured:
    def test_grey_is_not(self):
        assert not is_coloured(HEAT[None]) and not is_coloured(np.stack([HEAT] * 3))

    def test_jpeg_noise_and_a_logo_are_not(self, tmp_path):
        grey = np.stack([np.tile(HEAT, (2, 2))] * 3, axis=-1)
        grey[:4, :7] = 255, 0, 0
        Image.fromarray(grey).save(tmp_path / "grey.jpg", quality=60, subsampling=0)
        assert is_coloured(planes(grey[:8, :8]))
        assert not is_coloured(planes(np.asarray(Image.open(tmp_path / "grey.jpg"))))

    def test_colours_are(self):
        assert is_coloured(planes(VISIBLE)) and is_coloured(planes(jet(HEAT)))

    def test_floating_point_is_never_called_so(self):
        assert not is_coloured(planes(VISIBLE) / np.float32(255))


class TestSentences:
    def test_grey_says_nothing(self):
        heat, sentence = heat_of(HEAT[None], "it", planes(VISIBLE))
        assert heat is not None and sentence == ""

    def test_a_known_palette(self):
        heat, sentence = heat_of(planes(jet(HEAT)), "it", HEAT[None])
        assert np.abs(heat[0].astype(int) - HEAT).max() <= 1
        assert sentence.startswith("it is in the false colours of the palette 'jet'; they were turned back")

    def test_an_unknown_one(self):
        painted = planes(of_matplotlib("plasma")(HEAT))
        heat, sentence = heat_of(painted, "it", planes(VISIBLE))
        assert heat is painted and sentence.startswith("it is in colours; their luminance is taken for heat")
        assert "swapped" not in sentence

    def test_swapped_images(self):
        for visible in (HEAT[None], np.stack([HEAT] * 3)):
            heat, sentence = heat_of(planes(VISIBLE), "it", visible)
            assert np.array_equal(heat, planes(VISIBLE))
            assert sentence.startswith(
                "it is in colours and the visible image in grey. Are they swapped? If not, their luminance is"
            )


@pytest.fixture
def said(caplog):
    transformers_logging.get_logger("maefuse_hf").warning_once.__func__.cache_clear()
    caplog.set_level(logging.WARNING)
    return caplog


class TestEverywhere:
    """Whatever reads infrared takes the recovered scale, and says so once."""

    @pytest.fixture
    def painted(self, tmp_path):
        Image.fromarray(jet(HEAT)).save(tmp_path / "jet.png")
        return tmp_path / "jet.png"

    def test_the_processor(self, painted, said):
        processor = MaeFuseImageProcessor()
        inputs = processor(painted, VISIBLE)
        np.testing.assert_allclose(inputs["infrared"], processor(HEAT, VISIBLE)["infrared"], atol=1 / 255 + 1e-6)
        processor(painted, VISIBLE)
        assert [record.getMessage() for record in said.records] == [
            f"infrared ({painted}) is in the false colours of the palette 'jet'; they were turned back into its scale."
        ]

    def test_a_coloured_visible_image_is_left_alone(self, said):
        inputs = MaeFuseImageProcessor()(HEAT, jet(HEAT))
        assert np.array_equal(inputs["visible_rgb"][0], planes(jet(HEAT))) and not said.records

    def test_evaluation(self, painted, said):
        assert np.abs(np.asarray(read_source(painted, "infrared"))[..., 0].astype(int) - HEAT).max() <= 1
        assert np.array_equal(read_source(painted, "visible"), jet(HEAT)) and len(said.records) == 1

    def test_infrared_over_a_part_of_the_photo(self, painted, said):
        assert np.abs(infrared_pixels(painted).astype(int) - HEAT).max() <= 1 and len(said.records) == 1

    def test_the_command_says_that_images_seem_swapped(self, tmp_path, said):
        Image.fromarray(HEAT).save(tmp_path / "infrared.png")
        Image.fromarray(VISIBLE).save(tmp_path / "visible.png")
        fused = tmp_path / "fused.png"
        assert main(["fuse", str(tmp_path / "visible.png"), str(tmp_path / "infrared.png"), "-o", str(fused)]) == 0
        assert fused.exists() and "Are they swapped?" in said.text
