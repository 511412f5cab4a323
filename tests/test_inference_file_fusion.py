import io
from pathlib import Path

import numpy as np
import pytest
from conftest import small_model
from PIL import Image

from maefuse_hf import MaeFuseImageProcessor
from maefuse_hf.cameras import CameraPair, open_camera_file, open_infrared
from maefuse_hf.cameras.flir import IMAGE_START, RAW_DATA, flir_pieces, joined, read_records
from maefuse_hf.cameras.jpeg_segments import read_jpeg_header
from maefuse_hf.cli import main
from maefuse_hf.inference.file_fusion import fuse_files, infrared_values, photo_alone, require_temperatures
from maefuse_hf.inference.pair_fusion import fuse_pair

SAMPLES = Path(__file__).parent / "golden" / "cameras"
AX8, E40 = SAMPLES / "FLIR_AX8.jpg", SAMPLES / "FLIR_E40.jpg"
BOX = (20.0, 10.0, 60.0, 40.0)


@pytest.fixture(scope="module")
def fuse():
    """`fuse_files` with a small random model."""
    model, processor = small_model(), MaeFuseImageProcessor(size_divisor=8)
    return lambda *files, **settings: fuse_files(model, processor, *files, **settings)


@pytest.fixture
def photo(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def deep_infrared(path, values):
    Image.fromarray(values).save(path)
    return path


def test_a_camera_file_alone_is_a_pair(fuse):
    fused, pair = fuse(AX8), open_camera_file(AX8)
    assert fused.image.size == pair.visible.size == (640, 480)
    assert fused.infrared_box == pair.infrared_box
    before, after = np.asarray(pair.visible), np.asarray(fused.image)
    left, top, right, bottom = 45, 34, 595, 446
    outside = np.ones(before.shape[:2], bool)
    outside[top:bottom, left:right] = False
    assert np.array_equal(after[outside], before[outside])
    assert not np.array_equal(after, before)


def test_without_a_photo_one_is_asked_for(fuse, photo):
    with pytest.raises(ValueError, match=r"FLIR E40 stored no photo.*second argument"):
        fuse(E40)
    assert fuse(E40, photo, resize_infrared=True).image.size == (80, 60)
    with pytest.raises(ValueError, match="resize-infrared"):
        fuse(E40, photo)


def test_camera_values_are_fused_and_not_the_coloured_preview(fuse, photo):
    fused = fuse(E40, photo, resize_infrared=True)
    thermal = open_camera_file(E40).temperatures
    seen = fused.pair.inputs["infrared"][0, 0, :60, :80].numpy()
    enlarged = np.asarray(Image.fromarray(thermal).resize((80, 60), Image.Resampling.BILINEAR))
    assert np.corrcoef(seen.ravel(), enlarged.ravel())[0, 1] > 0.99


def test_a_temperature_range_is_in_celsius(fuse, photo, tmp_path):
    values = np.tile(np.linspace(27315, 31315, 80).astype(np.uint16), (60, 1))
    path = deep_infrared(tmp_path / "a.png", values)
    fused = fuse(path, photo, infrared_unit="centikelvin", temperature_range=(10, 30))
    seen = fused.pair.inputs["infrared"][0, 0, 0, :80].numpy()
    celsius = values[0] / 100 - 273.15
    assert seen == pytest.approx(((celsius - 10) / 20).clip(0, 1), abs=1e-4)


def test_a_temperature_range_needs_temperatures(fuse, photo, tmp_path):
    path = deep_infrared(tmp_path / "a.png", np.tile(np.arange(80, dtype=np.uint16) + 7000, (60, 1)))
    with pytest.raises(ValueError, match="--infrared-unit"):
        fuse(path, photo, temperature_range=(10, 30))
    with pytest.raises(ValueError, match="°C or raw values"):
        fuse(path, photo, temperature_range=(10, 30), infrared_range=(7000, 8000))


def test_without_temperatures_raw_values_are_fused_and_the_note_says_why():
    raw = np.array([[18000, 19000]], np.uint16)
    pair = CameraPair("DJI ZH20T", raw, temperature_note="DJI does not publish how.")
    values, limits = infrared_values(pair, "a.jpg", None, None)
    assert np.array_equal(values, raw) and limits is None
    with pytest.raises(ValueError, match=r"not known\. DJI does not publish how"):
        require_temperatures(pair, "a.jpg")


def test_what_has_no_temperature_is_fused_as_the_coldest():
    celsius = np.array([[np.nan, 5, 20]], np.float32)
    values, _ = infrared_values(CameraPair("camera", celsius, celsius), "a.jpg", None, None)
    assert np.array_equal(values, [[5, 5, 20]])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_infrared_in_a_box_of_any_depth(fuse, photo, tmp_path, dtype, suffix):
    if (dtype, suffix) == (np.float32, "png"):
        pytest.skip("PNG has no floating point")
    path = deep_infrared(tmp_path / f"a.{suffix}", np.add.outer(np.arange(15), np.arange(20)).astype(dtype) * 7)
    fused = fuse(path, photo, infrared_box=BOX)
    before, after = np.asarray(Image.open(photo)), np.asarray(fused.image)
    assert np.array_equal(after[:10], before[:10]) and np.array_equal(after[:, 60:], before[:, 60:])
    assert not np.array_equal(after[10:40, 20:60], before[10:40, 20:60])
    with pytest.raises(ValueError, match="covers the whole photo"):
        fuse(path, photo, infrared_box=BOX, resize_infrared=True)


def test_14_bits_in_16(fuse, photo, tmp_path):
    values = np.tile(np.linspace(7000, 16383, 80).astype(np.uint16), (60, 1))
    seen = fuse(deep_infrared(tmp_path / "a.tiff", values), photo).pair.inputs["infrared"][0, 0, 0, :80].numpy()
    assert seen[0] == 0 and seen[-1] == 1 and (np.diff(seen) >= 0).all()


def test_two_plain_images_are_fused_as_ever(fuse, photo, tmp_path):
    path = deep_infrared(tmp_path / "a.png", np.add.outer(np.arange(60), np.arange(80)).astype(np.uint8))
    expected = fuse_pair(small_model(), MaeFuseImageProcessor(size_divisor=8), path, photo).image
    assert np.array_equal(np.asarray(fuse(path, photo).image), np.asarray(expected))


def command(tmp_path, *arguments):
    folder = tmp_path / "checkpoint"
    small_model().save_pretrained(folder)
    MaeFuseImageProcessor(size_divisor=8).save_pretrained(folder)
    return main(["fuse", *map(str, arguments), "--model", str(folder), "--device", "cpu"])


def test_one_file_on_the_command_line(tmp_path):
    output, kept = tmp_path / "fused.png", tmp_path / "kept.tiff"
    arguments = AX8, "-o", output, "--temperature-range", 24, 26, "--temperature-map", kept
    assert command(tmp_path, *arguments) == 0
    assert Image.open(output).size == (640, 480)
    assert np.array_equal(open_infrared(kept).temperatures, open_camera_file(AX8).temperatures)


def test_a_folder_of_camera_files(tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    for path in (AX8, E40):
        (folder / path.name).write_bytes(path.read_bytes())
    assert command(tmp_path, folder, "-o", tmp_path / "out") == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["FLIR_AX8.png"]
    printed = capsys.readouterr()
    assert "FLIR E40 stored no photo" in printed.err
    assert "1 images written" in printed.out and "1 problems" in printed.out
    (tmp_path / "out" / "FLIR_AX8.png").write_bytes(b"mine")
    assert command(tmp_path, folder, "-o", tmp_path / "out") == 1
    assert "1 were there already (--overwrite makes them again)" in capsys.readouterr().out
    assert (tmp_path / "out" / "FLIR_AX8.png").read_bytes() == b"mine"
    assert command(tmp_path, folder, "-o", tmp_path / "out", "--overwrite") == 1
    assert Image.open(tmp_path / "out" / "FLIR_AX8.png").size == (640, 480)


def with_shutter_closed(path):
    """A copy of the AX8's sample whose thermal values are all the same."""
    content, buffer = AX8.read_bytes(), io.BytesIO()
    record = read_records(joined(flir_pieces(read_jpeg_header(content)), "", ""), "", "")[RAW_DATA]
    Image.fromarray(np.full((60, 80), 1234, np.uint16)).save(buffer, "PNG")
    closed = record[:IMAGE_START] + buffer.getvalue().ljust(len(record) - IMAGE_START, b"\0")
    path.write_bytes(content.replace(record, closed))
    return path


def test_where_the_shutter_is_closed_a_folder_run_writes_the_embedded_photo(tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    closed = with_shutter_closed(folder / "closed.jpg")
    assert np.ptp(open_camera_file(closed).raw) == 0
    assert command(tmp_path, folder, "-o", tmp_path / "out") == 0
    printed = capsys.readouterr()
    assert "closed: infrared" in printed.err and "The visible image was written as it is." in printed.err
    assert "1 of them the visible image alone, 0 problems" in printed.out
    expected = np.asarray(open_camera_file(AX8).visible)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "closed.png")), expected)
    # one pair is another matter
    assert command(tmp_path, closed, "-o", tmp_path / "fused.png") == 1
    assert not (tmp_path / "fused.png").exists()


def test_the_photo_alone(photo):
    processor = MaeFuseImageProcessor(size_divisor=8)
    assert np.array_equal(np.asarray(photo_alone(processor, AX8)), np.asarray(open_camera_file(AX8).visible))
    assert np.array_equal(np.asarray(photo_alone(processor, AX8, photo)), np.asarray(Image.open(photo)))
    with pytest.raises(ValueError, match="stored no photo"):
        photo_alone(processor, E40)


def test_a_truncated_camera_file_gives_one_line_and_writes_nothing(tmp_path, photo, capsys):
    path = tmp_path / "cut.jpg"
    path.write_bytes(AX8.read_bytes()[:20_000])
    for files in ((path,), (path, photo)):
        assert command(tmp_path, *files, "-o", tmp_path / "out.png") == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("maefuse: ") and str(path) in line
        assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["photo.png", "-o", "out.png"], "no JPEG"),
        ([str(AX8), "-o", "out.png", "--temperature-map", "out.png"], "kept as TIFF"),
        ([str(AX8), "-o", "out.tiff", "--temperature-map", "out.tiff"], "two files"),
        ([str(E40), "photo.png", "-o", "out.png", "--temperature-map", "photo.tiff"], "one of the inputs"),
        (["photo.png", "photo.png", "-o", "out.png", "--temperature-map", "map.tiff"], "--infrared-unit"),
        (["folder", "-o", "out", "--temperature-map", "map.tiff"], "give it with one pair"),
        (["empty", "-o", "out"], "empty holds no images"),
        ([str(AX8), "folder", "-o", "out.png"], "are a folder and a file"),
        (["missing.jpg", "-o", "out.png"], "missing.jpg: there is no such file or folder"),
        ([str(E40), "photo.png", "-o", "out.png", "--infrared-box", "90", "0", "99", "9"], "holds no pixel"),
    ],
)
def test_what_cannot_work_is_said(tmp_path, photo, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "photo.tiff").symlink_to(photo)
    (tmp_path / "folder" / AX8.name).write_bytes(AX8.read_bytes())
    assert command(tmp_path, *arguments) == 1
    assert message in capsys.readouterr().err
    assert not any((tmp_path / name).exists() for name in ("out", "out.png", "out.tiff", "map.tiff"))
