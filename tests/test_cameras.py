"""Files of real cameras, and broken copies of them."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maefuse_hf.cameras import (
    open_camera_file,
    open_infrared,
    open_temperature_image,
    write_temperature_map,
)
from maefuse_hf.cameras.flir import EMBEDDED_IMAGE, IMAGE_START, RAW_DATA, flir_pieces, joined, read_records
from maefuse_hf.cameras.jpeg_segments import APP1, EXIF, read_jpeg_header
from maefuse_hf.cameras.radiometry import Radiometry, raw_to_celsius, signal

SAMPLES = Path(__file__).parent / "golden" / "cameras"

PLAIN = Radiometry(
    r1=15000,
    r2=0.01,
    b=1400,
    f=1,
    o=-5000,
    emissivity=1,
    distance=0,
    reflected=293.15,
    atmosphere=293.15,
    window=293.15,
    window_transmission=1,
    humidity=0.5,
    alpha1=0.006569,
    alpha2=0.01262,
    beta1=-0.002276,
    beta2=-0.00667,
    x=1.9,
)


# shown by the camera itself in its preview: spot in the middle, or the image's minimum and maximum
@pytest.mark.parametrize(
    ("name", "camera", "shape", "shown"),
    [
        ("FLIR_E40", "FLIR E40", (120, 160), {"spot": 20.9}),
        ("FLIR_B60", "Flir b60", (180, 180), {"spot": (19.0 - 32) / 1.8}),
        ("FLIR_AX8", "FLIR AX8", (60, 80), {"min": 24.3, "max": 25.5}),
    ],
)
def test_temperatures_are_those_that_the_camera_shows(name, camera, shape, shown):
    pair = open_camera_file(SAMPLES / f"{name}.jpg")
    assert pair.camera == camera
    assert pair.raw.shape == pair.temperatures.shape == shape
    assert (pair.raw.dtype, pair.temperatures.dtype) == (np.uint16, np.float32)
    middle = pair.temperatures[shape[0] // 2 - 1 : shape[0] // 2 + 1, shape[1] // 2 - 1 : shape[1] // 2 + 1]
    found = {"spot": middle.mean(), "min": pair.temperatures.min(), "max": pair.temperatures.max()}
    for what, celsius in shown.items():
        assert found[what] == pytest.approx(celsius, abs=0.1), what


def test_raw_values_of_the_mug():
    pair = open_camera_file(SAMPLES / "FLIR.jpg")
    assert (pair.raw.min(), pair.raw.max()) == (12501, 20042)
    # the formula step by step, ε 0.95, all around at 20 °C: S(20 °C) = 11485.8, τ = 0.99394; the object sends
    # (20042 - 0.00606 S - 0.05 τ S) / (0.95 τ) = 20547.2, which is a black body's signal at
    # 1450.4 / ln(17837.5 / (0.0123328 · 19404.2) + 1) = 335.38 K
    assert pair.temperatures.max() == pytest.approx(62.23, abs=0.01)
    assert pair.temperatures.min() == pytest.approx(25.93, abs=0.01)


@pytest.mark.parametrize(
    ("name", "size", "box"),
    [
        ("FLIR", (480, 640), (83.06, 78.07, 424.94, 533.93)),
        ("FLIR_AX8", (640, 480), (44.71, 33.53, 595.29, 446.47)),
        ("FLIR_B60", (480, 480), (102.36, 90.36, 381.64, 369.64)),
    ],
)
def test_photo_and_registration(name, size, box):
    pair = open_camera_file(SAMPLES / f"{name}.jpg")
    assert (pair.visible.mode, pair.visible.size) == ("RGB", size)
    assert pair.infrared_box == pytest.approx(box, abs=0.01)


def test_registration_is_what_the_camera_itself_draws():
    """The camera's preview has the photo's contours in it: they correlate most where the box says."""
    pair = open_camera_file(SAMPLES / "FLIR.jpg")
    shown = Image.open(SAMPLES / "FLIR.jpg").convert("L").resize((240, 320))

    def contours(image):
        return np.hypot(*np.gradient(np.asarray(image, float)))[60:260]

    def agreement(right, down):
        left, top, to, bottom = pair.infrared_box
        part = (left + right, top + down, to + right, bottom + down)
        cut = pair.visible.convert("L").transform((240, 320), Image.Transform.EXTENT, part, Image.Resampling.BICUBIC)
        return np.corrcoef(contours(shown).ravel(), contours(cut).ravel())[0, 1]

    here = agreement(0, 0)
    assert all(here > agreement(*step) for step in ((4, 0), (-4, 0), (0, 4), (0, -4)))


def test_a_png_photo_has_its_colours():
    sky = np.asarray(open_camera_file(SAMPLES / "FLIR_B60.jpg").visible)[:60, :60].mean(axis=(0, 1))
    assert sky[2] > sky[1] > sky[0] > 60


def test_no_photo_in_a_file_without_one():
    pair = open_camera_file(SAMPLES / "FLIR_E40.jpg")
    assert pair.visible is None and pair.infrared_box is None


def segments_to_jpeg(segments):
    """A JPEG header of these segments, closed at once."""
    body = b"".join(
        b"\xff" + bytes([kind]) + struct.pack(">H", len(content) + 2) + content for kind, content in segments
    )
    return b"\xff\xd8" + body + b"\xff\xd9"


def rewritten(path, name, change):
    """A copy of a sample whose segments went through `change`."""
    header = read_jpeg_header((SAMPLES / f"{name}.jpg").read_bytes())
    path.write_bytes(segments_to_jpeg(change(header.segments)))
    return path


def is_flir(segment):
    return segment[0] == APP1 and segment[1].startswith(b"FLIR")


def test_a_missing_piece_is_named(tmp_path):
    def without_the_third(segments):
        flir = [segment for segment in segments if is_flir(segment)]
        return [segment for segment in segments if segment is not flir[2]]

    path = rewritten(tmp_path / "a.jpg", "FLIR_B60", without_the_third)
    with pytest.raises(OSError, match=r"Flir b60 wrote 6 pieces.*1 are missing.*number 3"):
        open_camera_file(path)


def test_pieces_may_come_in_any_order(tmp_path):
    path = rewritten(tmp_path / "a.jpg", "FLIR_B60", lambda segments: segments[::-1])
    expected = open_camera_file(SAMPLES / "FLIR_B60.jpg")
    assert np.array_equal(open_camera_file(path).raw, expected.raw)


@pytest.mark.parametrize("kept", [5000, 30000, 80000])
def test_a_truncated_file_is_named_so(tmp_path, kept):
    path = tmp_path / "a.jpg"
    path.write_bytes((SAMPLES / "FLIR.jpg").read_bytes()[:kept])
    with pytest.raises(OSError, match=r"(truncated|damaged).*card again") as error:
        open_camera_file(path)
    assert "FLIR Systems AB" in str(error.value)


def test_what_is_cut_off_after_the_thermal_data_does_no_harm(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes((SAMPLES / "FLIR.jpg").read_bytes()[:100_000])
    assert open_camera_file(path).temperatures.shape == (320, 240)


@pytest.mark.parametrize(
    ("kind", "message"), [(RAW_DATA, "thermal values of FLIR AX8"), (EMBEDDED_IMAGE, "photo that FLIR AX8 embedded")]
)
def test_a_damaged_image_in_the_file_is_named(tmp_path, kind, message):
    content = (SAMPLES / "FLIR_AX8.jpg").read_bytes()
    record = read_records(joined(flir_pieces(read_jpeg_header(content)), "", ""), "", "")[kind]
    path = tmp_path / "a.jpg"
    path.write_bytes(content.replace(record, record[: IMAGE_START + 8].ljust(len(record), b"\xff")))
    with pytest.raises(OSError, match=rf"{message}.*damaged.*card again"):
        open_camera_file(path)


def test_a_damaged_exif_block_costs_the_name_alone(tmp_path):
    def damage(segments):
        return [(kind, EXIF + b"\xff" * 40 if content.startswith(EXIF) else content) for kind, content in segments]

    pair = open_camera_file(rewritten(tmp_path / "a.jpg", "FLIR_E40", damage))
    assert pair.camera == "a FLIR camera" and pair.temperatures is not None


@pytest.mark.parametrize("place", [0x00, 0x18, 0x4C])
def test_a_damaged_index_is_named(tmp_path, place):
    def damage(segments):
        return [
            (kind, content[: 8 + place] + b"\xff" * 12 + content[8 + place + 12 :])
            if is_flir((kind, content))
            else (kind, content)
            for kind, content in segments
        ]

    with pytest.raises(OSError, match=r"FLIR E40.*card"):
        open_camera_file(rewritten(tmp_path / "a.jpg", "FLIR_E40", damage))


def test_a_file_of_a_known_camera_without_thermal_data(tmp_path):
    path = rewritten(tmp_path / "a.jpg", "FLIR_E40", lambda segments: [s for s in segments if not is_flir(s)])
    with pytest.raises(ValueError, match=r"seems to be from FLIR Systems AB FLIR E40.*no thermal values.*original"):
        open_camera_file(path)
    assert open_infrared(path) is None


def test_files_of_other_cameras_and_no_camera(tmp_path):
    exif = Image.Exif()
    exif[271], exif[272] = "Testo", "testo 885"
    Image.new("L", (8, 8)).save(tmp_path / "testo.jpg", exif=exif)
    Image.new("L", (8, 8)).save(tmp_path / "none.jpg")
    Image.new("L", (8, 8)).save(tmp_path / "none.png")
    for name, message in (
        ("testo.jpg", "Testo testo 885.*TIFF"),
        ("none.jpg", "does not name"),
        ("none.png", "no JPEG"),
    ):
        with pytest.raises(ValueError, match=message):
            open_camera_file(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="no such file"):
        open_camera_file(tmp_path / "missing.jpg")


def dji_file(path, words):
    """An R-JPEG as DJI writes it, 24×16, its values split over two segments."""
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[271], exif[272] = "DJI", "ZH20T"
    Image.new("L", (24, 16)).save(buffer, "JPEG", exif=exif)
    content = words.astype("<u2").tobytes()
    extra = segments_to_jpeg([(0xE3, content[:100]), (0xE3, content[100:])])[2:-2]
    path.write_bytes(buffer.getvalue()[:2] + extra + buffer.getvalue()[2:])
    return path


def test_dji_gives_raw_values_and_says_why_not_more(tmp_path):
    words = np.arange(16 * 24).reshape(16, 24) + 18000
    pair = open_camera_file(dji_file(tmp_path / "a.jpg", words))
    assert pair.camera == "DJI ZH20T"
    assert np.array_equal(pair.raw, words)
    assert pair.temperatures is None and "Thermal SDK" in pair.temperature_note
    with pytest.raises(OSError, match="24×16 pixels need 768"):
        open_camera_file(dji_file(tmp_path / "b.jpg", words[1:]))


def test_radiometry_inverts_the_signal():
    celsius = np.array([[-20.0, 0.0], [36.6, 120.0]])
    raw = np.vectorize(lambda value: signal(value + 273.15, PLAIN))(celsius)
    assert raw_to_celsius(raw, PLAIN) == pytest.approx(celsius, abs=1e-3)
    # by hand, 15000 / (0.01 (e^(1400 / 293.15) - 1)) + 5000
    assert signal(293.15, PLAIN) == pytest.approx(17755.7, abs=0.1)


def test_what_is_as_warm_as_all_around_it_reads_so_at_any_emissivity():
    around = Radiometry(**{**vars(PLAIN), "emissivity": 0.6, "distance": 30, "window_transmission": 0.8})
    raw = np.array([[signal(293.15, around)]])
    assert raw_to_celsius(raw, around)[0, 0] == pytest.approx(20, abs=1e-3)


def test_below_any_signal_there_is_no_temperature():
    assert np.isnan(raw_to_celsius(np.array([[0]]), PLAIN)).all()


@pytest.mark.parametrize(
    ("unit", "pixels"),
    [
        ("centikelvin", np.array([[27315, 30315]], np.uint16)),
        ("kelvin", np.array([[273.15, 303.15]], np.float32)),
        ("celsius", np.array([[0, 30]], np.float32)),
    ],
)
@pytest.mark.parametrize("suffix", ["tiff", "png"])
def test_units_of_images(tmp_path, unit, pixels, suffix):
    if suffix == "png" and pixels.dtype != np.uint16:
        pytest.skip("PNG has no floating point")
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(pixels).save(path)
    assert open_infrared(path) is None
    assert open_infrared(path, unit).temperatures == pytest.approx(np.array([[0, 30]]), abs=1e-4)


def test_images_that_are_no_temperatures(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.array([[7000, 9000]], np.uint16)).save(path)
    with pytest.raises(ValueError, match="unit is 'fahrenheit'"):
        open_temperature_image(path, "fahrenheit")
    Image.new("RGB", (4, 4)).save(path)
    with pytest.raises(ValueError, match=r"3 channel\(s\) of uint8"):
        open_temperature_image(path, "centikelvin")
    Image.fromarray(np.array([[-300, 20]], np.float32)).save(tmp_path / "a.tiff")
    with pytest.raises(ValueError, match="below absolute zero"):
        open_temperature_image(tmp_path / "a.tiff", "celsius")


def test_a_temperature_map_says_its_unit(tmp_path):
    celsius = np.array([[-3.25, np.nan], [20, 150]], np.float32)
    write_temperature_map(tmp_path / "a.tiff", celsius)
    assert np.array_equal(open_infrared(tmp_path / "a.tiff").temperatures, celsius, equal_nan=True)
    with pytest.raises(ValueError, match="TIFF"):
        write_temperature_map(tmp_path / "a.png", celsius)


def test_a_camera_file_takes_no_unit():
    with pytest.raises(ValueError, match="leave out the unit"):
        open_infrared(SAMPLES / "FLIR_E40.jpg", "celsius")
