import ast
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from conftest import ramp
from foreign_images import png_bytes, ppm_bytes, tiff_bytes
from PIL import EpsImagePlugin, Image, ImageCms
from PIL.PngImagePlugin import PngImageFile

from maefuse_hf import image_files
from maefuse_hf.image_files import FORMATS, decode, image_suffixes, load_upright, open_image, write_image

PACKAGE = Path(image_files.__file__).parent
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\n{} loop\n%%EOF\n"
DEEP = 1000 + 40 * ramp(6, 8).astype(np.uint16)
DEEP_COLOUR = np.stack([DEEP, DEEP[::-1], DEEP[:, ::-1]], axis=-1)


def saved(folder, content, name="image.png"):
    (folder / name).write_bytes(content)
    return folder / name


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


class TestFormats:
    def test_pillow_has_a_reader_and_a_writer_for_each(self):
        Image.init()
        assert set(FORMATS) <= set(Image.OPEN) & set(Image.SAVE)
        assert {".png", ".tif", ".tiff", ".jpg", ".jpeg", ".webp", ".bmp", ".pgm", ".ppm", ".gif"} <= image_suffixes()
        assert not {".eps", ".ps", ".qoi", ".ftc", ".pdf", ".ico", ".h5"} & image_suffixes()

    def test_each_is_read_whatever_its_suffix(self, tmp_path):
        pixels = ramp(6, 8)
        for kind in FORMATS:
            options = {"lossless": True} if kind == "WEBP" else {}
            read = decode(saved(tmp_path, encoded(Image.fromarray(pixels), kind, **options)), "image")
            grey = read if read.ndim == 2 else read[..., 1]
            np.testing.assert_allclose(grey.astype(int), pixels, atol=4 if kind == "JPEG" else 0, err_msg=kind)

    @pytest.mark.parametrize("name", ["image.eps", "image.png", "image.jpg"])
    def test_postscript_starts_no_program(self, tmp_path, monkeypatch, name):
        monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("Ghostscript was started"))
        with pytest.raises(OSError, match=r"^photo: cannot be read \(it is no image of a known format, or"):
            decode(saved(tmp_path, EPS, name), "photo")

    def test_no_image_is_opened_without_naming_formats(self):
        root = PACKAGE.parent
        folders = ("maefuse_hf", "training", "space", "benchmarks")
        sources = [path for folder in folders for path in (root / folder).rglob("*.py")]
        calls = [node for path in sources for node in ast.walk(ast.parse(path.read_text())) if is_image_open(node)]
        assert len(calls) >= 2
        for call in calls:
            assert "formats" in [keyword.arg for keyword in call.keywords], ast.unparse(call)
        # this is how datasets opens the cells of an image column
        assert not [path for path in sources if "decode_example" in path.read_text()]


def is_image_open(node):
    """Whether this is a call of `Image.open`."""
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "Image.open"


class TestDamaged:
    @pytest.mark.parametrize(
        "error",
        [
            AssertionError(),
            AttributeError("x"),
            EOFError("x"),
            Image.DecompressionBombError("x"),
            IndexError("x"),
            KeyError("x"),
            MemoryError(),
            OverflowError("x"),
            SyntaxError("x"),
            TypeError("x"),
            ZeroDivisionError("x"),
            struct.error("x"),
            zlib.error("x"),
        ],
        ids=lambda error: type(error).__name__,
    )
    @pytest.mark.parametrize("when", ["open", "load"])
    def test_whatever_pillow_raises_becomes_one_error_that_names_the_file(self, tmp_path, monkeypatch, error, when):
        path = saved(tmp_path, encoded(Image.fromarray(ramp(6, 8)), "PNG"))

        def fail(*_, **__):
            raise error

        target = (Image, "open") if when == "open" else (PngImageFile, "load")
        monkeypatch.setattr(*target, fail)
        with pytest.raises(OSError, match=rf"^{path}: cannot be read \(.+\)\. Copy or export") as caught:
            decode(path, str(path))
        assert caught.value.__cause__ is error

    @pytest.mark.parametrize("kind", FORMATS)
    def test_half_a_file(self, tmp_path, kind):
        noise = np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)
        content = encoded(Image.fromarray(noise), kind)
        with pytest.raises(OSError, match=r"^photo: cannot be read"):
            decode(saved(tmp_path, content[: len(content) // 2]), "photo")

    def test_a_bomb_is_refused_by_its_header(self, tmp_path):
        header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
        chunks = ((b"IHDR", header), (b"IDAT", b""))
        parts = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
        with pytest.raises(OSError, match=r"photo: cannot be read \(Image size \(10000000000 pixels\) exceeds limit"):
            decode(saved(tmp_path, b"\x89PNG\r\n\x1a\n" + b"".join(parts)), "photo")

    def test_names_that_are_no_files(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="photo: there is no such file"):
            decode(tmp_path / "none.png", "photo")
        for path in (tmp_path, "a\0b.png"):
            with pytest.raises(OSError, match="photo: cannot be read"):
                decode(path, "photo")


class TestDepth:
    @pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "int32", "float32"])
    def test_grey_tiff_is_read_right(self, tmp_path, dtype):
        kind = np.dtype(dtype).kind
        low, high = (-3.5, 90.25) if kind == "f" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        pixels = np.linspace(low, high, 48).astype(dtype).reshape(6, 8)
        read = decode(saved(tmp_path, tiff_bytes(pixels)), "image")
        assert (read.astype(np.float64) == pixels.astype(np.float64)).all()

    def test_planar_colour_of_8_bits_is_read_right(self, tmp_path):
        pixels = (DEEP_COLOUR // 20).astype(np.uint8)
        read = decode(saved(tmp_path, tiff_bytes(pixels, photometric=2, planar=True)), "image")
        assert (read == pixels).all()

    def test_white_is_zero_of_8_bits_is_inverted(self, tmp_path):
        pixels = ramp(6, 8)
        assert (decode(saved(tmp_path, tiff_bytes(pixels, photometric=0)), "image") == 255 - pixels).all()

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (tiff_bytes(DEEP_COLOUR, photometric=2), "more than 8 bits a channel"),
            (tiff_bytes(DEEP_COLOUR, photometric=2, planar=True), "more than 8 bits a channel"),
            (png_bytes(DEEP_COLOUR), "more than 8 bits a channel"),
            (png_bytes(DEEP_COLOUR[..., :2]), "more than 8 bits a channel"),
            (png_bytes(np.dstack([DEEP_COLOUR, DEEP])), "more than 8 bits a channel"),
            (ppm_bytes(DEEP_COLOUR, 65535), "more than 8 bits a channel"),
            (ppm_bytes(DEEP_COLOUR, 4095), "more than 8 bits a channel"),
            (tiff_bytes(ramp(6, 8).astype(np.int8)), "signed numbers of 8 bits"),
            (tiff_bytes(DEEP, photometric=0), "WhiteIsZero"),
            (tiff_bytes(DEEP.astype(np.float32), photometric=0), "WhiteIsZero"),
        ],
        ids=["tiff", "planar", "png", "la", "rgba", "ppm16", "ppm12", "int8", "white16", "white32"],
    )
    def test_what_pillow_would_change_is_refused(self, tmp_path, content, message):
        path = saved(tmp_path, content)
        with pytest.raises(ValueError, match=f"^infrared: it .*{message}"):
            decode(path, "infrared")
        with Image.open(path) as image, pytest.raises(ValueError, match=message):
            decode(image, "infrared")


# what a profile says of its red, green and blue at full: X, Y, Z as the profile connection space has them (D50)
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
GAMMA = 563 / 256


def fixed(value):
    """A number as ICC profiles hold it: 16 bits before and 16 after the point."""
    return struct.pack(">i", round(value * 65536))


def profile_of(primaries, gamma):
    """A display profile (ICC, version 2) of three primaries and one gamma."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    text = b"wide\0"
    tags = {b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(79)}
    tags |= {b"wtpt": b"XYZ " + bytes(4) + b"".join(map(fixed, (0.9642, 1, 0.8249)))}
    for channel, primary in zip("rgb", primaries):
        tags[f"{channel}XYZ".encode()] = b"XYZ " + bytes(4) + b"".join(map(fixed, primary))
        tags[f"{channel}TRC".encode()] = curve
    table, body, start = b"", b"", 128 + 4 + 12 * len(tags)
    for tag, content in tags.items():
        table += tag + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(">I", start + len(body)) + bytes(4) + b"\2\x10\0\0" + b"mntr" + b"RGB " + b"XYZ " + bytes(12)
    head += b"acsp" + bytes(28) + b"".join(map(fixed, (0.9642, 1, 0.8249))) + bytes(48)
    return head + struct.pack(">I", len(tags)) + table + body


def in_srgb(pixels):
    """Pixels of Adobe RGB in sRGB by the definitions of both, out of its range clipped."""
    light = (pixels / 255) ** GAMMA @ np.array(ADOBE_RGB) @ np.linalg.inv(SRGB)
    light = light.clip(0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


class TestProfiles:
    PIXELS = np.array([[[200, 100, 50], [60, 180, 90]], [[128, 128, 128], [20, 40, 230]]], dtype=np.uint8)

    @pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
    def test_wide_colours_become_those_of_srgb(self, tmp_path, kind):
        profile = profile_of(ADOBE_RGB, GAMMA)
        options = {"lossless": True} if kind == "WEBP" else {}
        content = encoded(Image.fromarray(self.PIXELS), kind, icc_profile=profile, **options)
        read = decode(saved(tmp_path, content), "photo").astype(int)
        np.testing.assert_allclose(read, in_srgb(self.PIXELS), atol=1.5)
        assert np.abs(read - self.PIXELS).max() > 20

    def test_alpha_and_palettes_have_it_too(self, tmp_path):
        image = Image.fromarray(self.PIXELS)
        for other in (image.convert("RGBA"), image.quantize(4)):
            content = encoded(other, "PNG", icc_profile=profile_of(ADOBE_RGB, GAMMA))
            expected = in_srgb(np.asarray(other.convert("RGB")))
            np.testing.assert_allclose(decode(saved(tmp_path, content), "photo"), expected, atol=1.5)

    def test_an_image_that_is_open_and_lies_on_its_side(self):
        exif = Image.Exif()
        exif[0x0112] = 6
        content = encoded(Image.fromarray(self.PIXELS), "PNG", icc_profile=profile_of(ADOBE_RGB, GAMMA), exif=exif)
        with Image.open(io.BytesIO(content)) as image:
            np.testing.assert_allclose(decode(image, "photo"), in_srgb(np.rot90(self.PIXELS, -1)), atol=1.5)

    def test_srgb_is_not_touched(self, tmp_path):
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        content = encoded(Image.fromarray(self.PIXELS), "PNG", icc_profile=profile)
        assert np.array_equal(decode(saved(tmp_path, content), "photo"), self.PIXELS)

    def test_a_damaged_profile_is_said(self, tmp_path, caplog):
        content = encoded(Image.fromarray(self.PIXELS), "PNG", icc_profile=b"no profile")
        assert np.array_equal(decode(saved(tmp_path, content), "photo"), self.PIXELS)
        assert "photo: its ICC profile cannot be used" in caplog.text

    def test_a_profile_of_other_channels_is_said(self, tmp_path, caplog):
        lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
        content = encoded(Image.fromarray(self.PIXELS), "PNG", icc_profile=lab)
        assert np.array_equal(decode(saved(tmp_path, content), "photo"), self.PIXELS)
        assert "photo: its ICC profile cannot be used" in caplog.text


class TestFrames:
    @pytest.mark.parametrize("kind", ["TIFF", "GIF", "PNG", "WEBP"])
    def test_a_second_one_is_said(self, tmp_path, caplog, kind):
        first, second = (Image.fromarray(pixels) for pixels in (ramp(6, 8), ramp(6, 8)[::-1]))
        options = {"save_all": True, "append_images": [second]}
        path = saved(tmp_path, encoded(first, kind, **options, **({"lossless": True} if kind == "WEBP" else {})))
        read = decode(path, "photo")
        assert ((read if read.ndim == 2 else read[..., 0]) == ramp(6, 8)).all()
        assert caplog.messages == ["photo holds 2 pages or frames; only the first is used."]

    def test_a_single_one_says_nothing(self, tmp_path, caplog):
        decode(saved(tmp_path, encoded(Image.fromarray(ramp(6, 8)), "TIFF")), "photo")
        assert caplog.messages == []


def test_an_opened_image_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = open_image(io.BytesIO(encoded(Image.fromarray(ramp(6, 8)), "PNG", exif=exif)), "photo")
    assert image.size == (8, 6)
    assert image_files.lies_on_its_side(image, "photo")
    assert (np.asarray(load_upright(image, "photo")) == np.rot90(ramp(6, 8), -1)).all()


class TestWrite:
    def test_the_suffix_chooses_the_format_and_options_go_on(self, tmp_path):
        image = Image.fromarray(ramp(6, 8))
        for name, kind in (("a.PNG", "PNG"), ("a.jpg", "JPEG"), ("a.tif", "TIFF"), ("a.webp", "WEBP")):
            write_image(image, tmp_path / name)
            assert Image.open(tmp_path / name).format == kind
        write_image(image, tmp_path / "b.jpg", quality=5)
        assert (tmp_path / "b.jpg").stat().st_size < (tmp_path / "a.jpg").stat().st_size
        assert len(list(tmp_path.iterdir())) == 5

    def test_what_was_there_stays_until_the_new_one_is_whole(self, tmp_path, monkeypatch):
        path = saved(tmp_path, b"before")

        def fail(self, file, *_, **__):
            file.write(b"half")
            assert path.read_bytes() == b"before"
            raise OSError("the disk is full")

        monkeypatch.setattr(Image.Image, "save", fail)
        with pytest.raises(OSError, match="the disk is full"):
            write_image(Image.fromarray(ramp(6, 8)), path)
        assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]
