import io
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import small_model
from fusing import (
    MOST_PIXELS,
    DemoFusion,
    Settings,
    UploadedPair,
    as_grey_image,
    check_sizes,
    doubts,
    limited,
    open_image,
    open_pair,
    upright_photo,
    upright_size,
    whole_photo,
)
from PIL import Image

from maefuse_hf import MaeFuseImageProcessor, image_files
from maefuse_hf.cameras import open_camera_file
from maefuse_hf.example_scene.scene import render_example_pair
from maefuse_hf.inference.file_fusion import fuse_files
from maefuse_hf.inference.pair_fusion import fuse_pair
from maefuse_hf.visualization.thermal_palette import thermal_overlay

SAMPLES = Path(__file__).parent / "golden" / "cameras"
AX8, E40 = SAMPLES / "FLIR_AX8.jpg", SAMPLES / "FLIR_E40.jpg"


@pytest.fixture(scope="module")
def fuser():
    return DemoFusion(small_model(), MaeFuseImageProcessor(size_divisor=8))


@pytest.fixture(scope="module")
def pair():
    return UploadedPair(*render_example_pair(68, 84))


def deep(infrared):
    """The same image as a thermal camera's raw values."""
    return Image.fromarray(np.asarray(infrared).astype(np.uint16) * 8 + 7000)


class TestSettings:
    @pytest.mark.parametrize(
        ("field", "value", "message"),
        [
            ("infrared_gamma", 0.1, "The infrared gamma is 0.1; choose 0.2 to 3.0"),
            ("infrared_gamma", float("nan"), "gamma is nan"),
            ("infrared_gamma", "1", "gamma is '1'; choose"),
            ("infrared_gamma", True, "gamma is True; choose"),
            ("size_limit", [1024], r"size limit is \[1024\]; choose"),
            ("palette", ["none"], r"no palette \['none'\]; choose none"),
            ("palette", {"a": "b" * 900}, r"no palette \{'a': 'b{53}…; choose none"),
            ("contour", None, "Contours cannot come from None"),
            ("colour", "yes", "The setting colour is 'yes'; choose True or False"),
            ("resize_infrared", 1, "The setting resize_infrared is 1; choose True or False"),
            ("align", "true", "The setting align is 'true'; choose True or False"),
            ("size_limit", 9000, "The size limit is 9000; choose 256 to 2048"),
            ("size_limit", None, "size limit is None"),
            ("palette", "gold", "no palette 'gold'; choose none, ironbow"),
            ("contour", "photo", "Contours cannot come from 'photo'; choose one of cfm, infrared, visible"),
        ],
    )
    def test_what_is_refused(self, field, value, message):
        with pytest.raises(ValueError, match=message):
            Settings(**{field: value})

    def test_a_limit_only_lowers(self):
        assert limited(Settings(), 512).size_limit == 512
        assert limited(Settings(size_limit=300), 512).size_limit == 300


class TestFuse:
    def test_by_default_it_is_the_package_s_own_image(self, fuser, pair):
        expected = fuse_pair(fuser.model, fuser.processor, pair.infrared, pair.visible).image
        assert np.array_equal(fuser.fuse(pair, Settings()), expected)

    @pytest.mark.parametrize("contour", ["cfm", "infrared", "visible"])
    @pytest.mark.parametrize("fusion", ["mean", "cfm", "mfm"])
    def test_strategies_and_contours(self, fuser, pair, fusion, contour):
        guide = contour if fusion == "mfm" else "cfm"
        expected = fuse_pair(fuser.model, fuser.processor, pair.infrared, pair.visible, fusion, guide).image
        assert np.array_equal(fuser.fuse(pair, Settings(contour=contour), fusion), expected)

    def test_without_colour_it_is_the_grey_of_the_same(self, fuser, pair):
        grey = fuser.fuse(pair, Settings(colour=False))
        assert grey.mode == "L" and np.array_equal(grey, fuser.fuse(pair, Settings()).convert("L"))

    def test_palette(self, fuser, pair):
        heat = np.asarray(pair.infrared, np.float32) / 255
        for colour in (True, False):
            plain = fuser.fuse(pair, Settings(colour=colour))
            painted = fuser.fuse(pair, Settings(colour=colour, palette="rainbow"))
            assert np.array_equal(painted, thermal_overlay(plain, heat, "rainbow"))

    @pytest.mark.parametrize("convert", [lambda image: image, deep])
    def test_gamma_is_applied_to_scaled_infrared_alone(self, fuser, pair, convert):
        pair = UploadedPair(convert(pair.infrared), pair.visible)
        plain, bright = (fuser.prepare(pair, Settings(infrared_gamma=gamma)) for gamma in (1.0, 0.5))
        assert torch.equal(bright["infrared"], plain["infrared"].sqrt())
        assert torch.equal(bright["visible"], plain["visible"])
        assert plain["infrared"].max() == pytest.approx(1, abs=0.1)
        expected = fuser.model(bright["infrared"], bright["visible"]).fused
        image = fuser.processor.post_process_image_fusion(expected, bright)[0]
        assert np.array_equal(fuser.fuse(pair, Settings(infrared_gamma=0.5)), image)

    def test_size_limit_only_reduces_and_the_result_keeps_its_size(self, fuser):
        wide = UploadedPair(*render_example_pair(200, 400))
        inputs = fuser.prepare(wide, Settings(size_limit=256))
        assert inputs["resized_sizes"].tolist() == [[128, 256]]
        expected = fuse_pair(fuser.model, fuser.processor, wide.infrared, wide.visible, size=(128, 256)).image
        image = fuser.fuse(wide, Settings(size_limit=256))
        assert image.size == (400, 200) and np.array_equal(image, expected)
        assert "resized_sizes" not in fuser.prepare(wide, Settings(size_limit=400))

    def test_a_model_with_a_size_of_its_own_keeps_it(self, fuser):
        own = DemoFusion(fuser.model, MaeFuseImageProcessor(size_divisor=8, size=(64, 64)))
        inputs = own.prepare(UploadedPair(*render_example_pair(200, 400)), Settings(size_limit=256))
        assert inputs["resized_sizes"].tolist() == [[64, 64]]

    def test_seen_is_what_goes_in(self, fuser, pair):
        assert np.array_equal(fuser.seen(pair, Settings()), pair.infrared)
        brighter = np.asarray(fuser.seen(pair, Settings(infrared_gamma=0.5)), float)
        np.testing.assert_allclose(brighter, 255 * np.sqrt(np.asarray(pair.infrared) / 255), atol=0.51)

    def test_of_an_empty_image_every_place_is_even(self, fuser, pair):
        outputs = fuser.run_empty(fuser.prepare(pair, Settings()), "cfm")
        assert torch.equal(outputs.infrared_features, outputs.visible_features)


class TestSizes:
    def test_they_differ(self, fuser, pair):
        small = UploadedPair(pair.infrared.resize((42, 34)), pair.visible)
        with pytest.raises(ValueError, match=r"42 × 34 pixels, the photo 84 × 68.*tick “Resize infrared to the photo”"):
            fuser.fuse(small, Settings())
        assert fuser.fuse(small, Settings(resize_infrared=True)).size == (84, 68)

    def test_a_photo_on_its_side_counts_as_upright(self, pair):
        exif = Image.Exif()
        exif[0x0112] = 6
        file = io.BytesIO()
        pair.visible.transpose(Image.Transpose.ROTATE_90).save(file, "PNG", exif=exif)
        lying = Image.open(file)
        assert lying.size == (68, 84) and upright_size(lying, "photo") == (84, 68)
        check_sizes(UploadedPair(pair.infrared, lying), Settings())


class TestOpen:
    def test_what_is_opened_keeps_its_depth(self, tmp_path, pair):
        deep(pair.infrared).save(tmp_path / "i.tiff")
        pair.visible.save(tmp_path / "v.webp", lossless=True)
        opened = open_pair(str(tmp_path / "i.tiff"), str(tmp_path / "v.webp"))
        assert np.array_equal(opened.infrared, deep(pair.infrared))
        assert np.array_equal(opened.visible, pair.visible)

    def test_one_is_missing(self, tmp_path, pair):
        pair.visible.save(tmp_path / "v.png")
        with pytest.raises(ValueError, match=r"The infrared image is missing. Give both"):
            open_pair(None, str(tmp_path / "v.png"))
        with pytest.raises(ValueError, match="The photo is missing"):
            open_pair(str(tmp_path / "v.png"), None)

    @pytest.mark.parametrize("content", [b"", b"hello", b"<svg xmlns='http://www.w3.org/2000/svg'/>"])
    def test_no_image(self, tmp_path, content):
        (tmp_path / "secret.png").write_bytes(content)
        with pytest.raises(OSError, match=r"The photo is no image that can be read. Give PNG") as error:
            open_image(str(tmp_path / "secret.png"), "photo")
        assert "secret" not in str(error.value)

    @pytest.mark.parametrize("kind", ["png", "jpeg", "tiff", "webp"])
    def test_a_damaged_one(self, tmp_path, pair, kind):
        file = tmp_path / f"secret.{kind}"
        pair.visible.save(file)
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(OSError, match=r"The photo is (damaged|no image)") as error:
            open_image(str(file), "photo")
        assert "secret" not in str(error.value)

    def test_a_deleted_one(self, tmp_path):
        with pytest.raises(OSError, match=r"The photo is no longer here.*Upload it again") as error:
            open_image(str(tmp_path / "gone.png"), "photo")
        assert str(tmp_path) not in str(error.value)

    def test_too_many_pixels(self, tmp_path):
        side = int(MOST_PIXELS**0.5) + 1
        Image.new("1", (side, side)).save(tmp_path / "large.png")
        with pytest.raises(ValueError, match=rf"too large: {side} × {side} pixels are 12\.5 million, and 12\.5"):
            open_image(str(tmp_path / "large.png"), "photo")


def test_grey_images_are_rounded_and_clipped():
    image = as_grey_image(np.array([[-1, 0.4 / 255, 0.6 / 255, 2]]))
    assert np.asarray(image).tolist() == [[0, 0, 1, 255]]


class TestDoubts:
    def test_an_ordinary_pair_has_none(self, pair):
        assert doubts(pair) == []

    def test_swapped_images(self, pair):
        (sentence,) = doubts(UploadedPair(pair.visible, pair.infrared))
        assert sentence.startswith("The infrared image is in colours and the visible image in grey. Are they swapped?")

    def test_further_frames(self, pair, tmp_path):
        pair.visible.save(tmp_path / "two.tiff", save_all=True, append_images=[pair.visible])
        two = open_image(str(tmp_path / "two.tiff"), "photo")
        assert doubts(UploadedPair(pair.infrared, two)) == [
            "The photo holds 2 pages or frames; only the first is used."
        ]


class TestUprightPhoto:
    def test_colours_without_a_profile_and_grey_stay(self, pair):
        assert np.array_equal(upright_photo(pair), pair.visible)
        grey = pair.infrared.copy()
        grey.info["icc_profile"] = b"of grey"
        assert np.array_equal(upright_photo(UploadedPair(grey, grey)), grey)

    def test_colours_of_a_profile_are_brought_to_srgb(self, pair, monkeypatch):
        photo = pair.visible.copy()
        photo.info["icc_profile"] = b"of a wide display"
        monkeypatch.setattr(image_files, "as_srgb", lambda image, name: f"{name} of {image.size}")
        assert upright_photo(UploadedPair(pair.infrared, photo)) == f"The photo of {photo.size}"


class TestCameraFile:
    """A sample of a thermal camera that stored a photo, 640 × 480, and where infrared lies in it."""

    def test_alone_it_is_a_pair(self, fuser):
        whole = open_camera_file(AX8).visible
        pair = open_pair(str(AX8), None)
        expected = fuse_files(fuser.model, fuser.processor, AX8).image
        assert np.array_equal(fuser.fuse(pair, Settings()), expected)
        assert np.array_equal(whole_photo(pair), whole)
        seen = np.asarray(fuser.seen(pair, Settings()))
        left, top, right, bottom = pair.placed.region
        assert seen.shape == (480, 640) and seen[:top].max() == 0 and seen[top:bottom, left:right].std() > 10
        grey = fuser.fuse(pair, Settings(colour=False))
        assert grey.mode == "L" and grey.size == (640, 480)

    def test_with_a_photo_its_temperatures_count_and_not_the_coloured_preview(self, tmp_path, pair):
        pair.visible.save(tmp_path / "photo.png")
        given = open_pair(str(E40), str(tmp_path / "photo.png"))
        assert np.array_equal(given.infrared, open_camera_file(E40).temperatures)
        assert given.visible.size == pair.visible.size and given.placed is None

    def test_what_is_missing_is_said_without_a_path(self, tmp_path):
        with pytest.raises(ValueError, match="The photo is missing: FLIR E40 stored none in this file"):
            open_pair(str(E40), None)
        render_example_pair(68, 84)[0].save(tmp_path / "thermal.jpg")
        with pytest.raises(ValueError, match=r"The photo is missing\. Give both.* or a radiometric file"):
            open_pair(str(tmp_path / "thermal.jpg"), None)
        (tmp_path / "cut.jpg").write_bytes(AX8.read_bytes()[:40000])
        with pytest.raises(OSError) as error:
            open_pair(str(tmp_path / "cut.jpg"), None)
        assert str(tmp_path) not in str(error.value)
