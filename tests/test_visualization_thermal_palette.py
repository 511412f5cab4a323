import numpy as np
import pytest
from PIL import Image

from maefuse_hf import MaeFuseImageProcessor
from maefuse_hf.cli import main
from maefuse_hf.colour import rgb_to_luminance
from maefuse_hf.example_scene.scene import render_example_pair
from maefuse_hf.visualization.thermal_palette import (
    COLD_PERCENTILE,
    DARKENED,
    HOT_PERCENTILE,
    PALETTES,
    hotness,
    palette_colours,
    seen_infrared,
    thermal_overlay,
)


def half_hot():
    """Infrared of a cold half on the left and a hot one on the right."""
    infrared = np.zeros((4, 8), np.float32)
    infrared[:, 4:] = 1
    return infrared


class TestHotness:
    def test_it_rises_smoothly_from_the_cold_percentile_to_the_hot_one(self):
        infrared = np.linspace(0, 1, 1001, dtype=np.float32).reshape(7, 143)
        hot = hotness(infrared)
        assert (hot[infrared <= COLD_PERCENTILE / 100] == 0).all()
        assert (hot[infrared >= HOT_PERCENTILE / 100 + 1e-6] == 1).all()
        middle = np.abs(infrared - (COLD_PERCENTILE + HOT_PERCENTILE) / 200).argmin()
        assert hot.flat[middle] == pytest.approx(0.5, abs=2e-3)
        assert (np.diff(hot.ravel()) >= 0).all()

    def test_an_even_image_has_nothing_hot(self):
        assert (hotness(np.full((3, 5), 0.7, np.float32)) == 0).all()

    @pytest.mark.parametrize("count", [1, 500, 999])
    def test_few_or_many_places_of_one_heat(self, count):
        infrared = np.full(1000, 0.2, np.float32)
        infrared[:count] = 0.9
        assert np.array_equal(hotness(infrared[None])[0], np.arange(1000) < count)


class TestPaletteColours:
    def test_the_anchors_are_met_and_between_them_is_the_mean(self):
        first, second = (np.array(colour) / 255 for colour in PALETTES["ironbow"][:2])
        last = np.array(PALETTES["ironbow"][-1]) / 255
        step = 1 / (len(PALETTES["ironbow"]) - 1)
        colours = palette_colours("ironbow", np.array([[0, step / 2, step, 1]]))
        assert colours.shape == (3, 1, 4)
        expected = np.stack([first, (first + second) / 2, second, last], axis=1)[:, None]
        np.testing.assert_allclose(colours, expected, atol=1e-6)

    def test_an_unknown_palette(self):
        with pytest.raises(
            ValueError, match="no thermal palette 'gold'; choose one of ironbow, rainbow, arctic, red-hot"
        ):
            palette_colours("gold", np.zeros((1, 1)))


class TestOverlay:
    def test_cold_places_stay_as_they_are_and_hot_ones_take_the_palette(self):
        image = Image.new("RGB", (8, 4), (90, 120, 150))
        result = np.asarray(thermal_overlay(image, half_hot(), "red-hot"), float) / 255
        assert (result[:, :4] * 255 == (90, 120, 150)).all()
        luminance = rgb_to_luminance(np.array([90, 120, 150]).reshape(3, 1, 1) / 255).item() * (1 - DARKENED)
        red, green, blue = (np.array(PALETTES["red-hot"][-1]) / 255).tolist()
        palette_luminance = 0.299 * red + 0.587 * green + 0.114 * blue
        chroma = np.array([red, green, blue]) - palette_luminance
        room = min((1 - luminance) / chroma[0], luminance / -chroma[1], luminance / -chroma[2], 1)
        np.testing.assert_allclose(result[0, 7], luminance + room * chroma, atol=1 / 255)

    @pytest.mark.parametrize("grey", [0, 60, 128, 255])
    @pytest.mark.parametrize("palette", PALETTES)
    def test_luminance_is_the_image_s_darkened_whatever_the_palette(self, palette, grey):
        image = Image.new("L", (8, 4), grey)
        result = np.moveaxis(np.asarray(thermal_overlay(image, half_hot(), palette), float), -1, 0)
        luminance = rgb_to_luminance(result)[0]
        np.testing.assert_allclose(luminance[:, :4], grey, atol=0.01)
        np.testing.assert_allclose(luminance[:, 4:], grey * (1 - DARKENED), atol=1)

    @pytest.mark.parametrize("palette", PALETTES)
    def test_a_white_hot_thing_gets_a_colour_that_can_be_seen(self, palette):
        result = np.asarray(thermal_overlay(Image.new("L", (8, 4), 255), half_hot(), palette), int)
        assert np.ptp(result[0, 7]) > 100

    def test_strength(self):
        infrared, visible = render_example_pair(64, 80)
        heat = np.asarray(infrared, np.float32) / 255
        assert np.array_equal(thermal_overlay(visible, heat, strength=0), visible)
        full, half = (np.asarray(thermal_overlay(visible, heat, strength=s), float) for s in (1.0, 0.5))
        plain = np.asarray(visible, float)
        assert 0 < np.abs(half - plain).mean() < np.abs(full - plain).mean()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"strength": 1.5}, "strength of a thermal palette is 1.5; give 0 to 1"),
            ({"infrared": np.zeros((8, 4))}, r"is \(8, 4\) and the image to colour \(4, 8\)"),
            ({"palette": "gold"}, "no thermal palette 'gold'"),
        ],
    )
    def test_what_is_refused(self, options, message):
        given = {"image": Image.new("RGB", (8, 4)), "infrared": half_hot(), **options}
        with pytest.raises(ValueError, match=message):
            thermal_overlay(**given)


class TestSeenInfrared:
    def test_padding_is_cut_and_deep_pixels_are_scaled(self):
        raw = np.linspace(7000, 9000, 30 * 44).reshape(30, 44).astype(np.uint16)
        inputs = MaeFuseImageProcessor(size_divisor=16)(
            infrared=raw, visible=np.uint8(raw >> 6), return_tensors="pt", infrared_range=(7000, 9000)
        )
        seen = seen_infrared(inputs)
        assert seen.shape == (30, 44) and seen.dtype == np.float32
        np.testing.assert_allclose(seen, (raw - 7000.0) / 2000, atol=1e-6)

    def test_it_has_the_visible_image_s_size_where_both_were_resized(self):
        infrared, visible = render_example_pair(64, 96)
        inputs = MaeFuseImageProcessor(size_divisor=16)(infrared, visible, "pt", size={"shortest_edge": 40})
        seen = seen_infrared(inputs)
        assert seen.shape == (64, 96) and seen.min() >= 0 and seen.max() <= 1
        assert np.abs(seen - np.asarray(infrared) / 255).mean() < 0.03


def test_on_the_command_line(tmp_path):
    infrared, visible = render_example_pair(64, 80)
    infrared.save(tmp_path / "i.png")
    visible.save(tmp_path / "v.png")
    arguments = ["fuse", str(tmp_path / "i.png"), str(tmp_path / "v.png"), "--device", "cpu", "-o"]
    assert main([*arguments, str(tmp_path / "plain.png")]) == 0
    assert main([*arguments, str(tmp_path / "iron.png"), "--palette", "ironbow"]) == 0
    heat = np.asarray(infrared, np.float32) / 255
    expected = thermal_overlay(Image.open(tmp_path / "plain.png"), heat, "ironbow")
    assert np.array_equal(Image.open(tmp_path / "iron.png"), expected)
