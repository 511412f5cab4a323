import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import small_model
from PIL import Image

from maefuse_hf import MaeFuseImageProcessor
from maefuse_hf.cli import main
from maefuse_hf.example_scene.scene import render_example_pair
from maefuse_hf.inference.checkpoint import load_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A small random model, for what does not depend on how well it fuses."""
    folder = tmp_path_factory.mktemp("checkpoint")
    small_model().save_pretrained(folder)
    MaeFuseImageProcessor(size_divisor=8).save_pretrained(folder)
    return folder


@pytest.fixture
def folders(tmp_path):
    """Two folders of three pairs, infrared as PNG and visible as JPEG."""
    for number in range(3):
        infrared, visible = render_example_pair(64, 80 + number, seed=number)
        for half, image, suffix in (("infrared", infrared, "png"), ("visible", visible, "jpg")):
            (tmp_path / half).mkdir(exist_ok=True)
            image.save(tmp_path / half / f"{number}.{suffix}")
    return tmp_path


def fuse(folder, *arguments, checkpoint):
    return main(["fuse", *map(str, arguments), "--model", str(checkpoint), "--device", "cpu"])


def test_the_command_fuses_a_pair_with_the_shipped_checkpoint(tmp_path):
    infrared, visible = render_example_pair(72, 96)
    infrared.save(tmp_path / "thermal.png")
    visible.save(tmp_path / "photo.png")
    command = [sys.executable, "-m", "maefuse_hf.cli", "fuse", "thermal.png", "photo.png", "-o", "new/fused.png"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    model, processor = load_checkpoint(device="cpu")
    inputs = processor(infrared=infrared, visible=visible, return_tensors="pt")
    with torch.inference_mode():
        expected = processor.post_process_image_fusion(model(**inputs), inputs)[0]
    difference = np.asarray(Image.open(tmp_path / "new/fused.png"), int) - np.asarray(expected, int)
    assert abs(difference).max() <= 1


def test_demo_of_unlike_views_aligns_them(tmp_path, capsys):
    assert main(["demo", "--align", "-o", str(tmp_path / "demo"), "--device", "cpu"]) == 0
    assert "Infrared was found in the photo, score 0." in capsys.readouterr().out
    names = ("infrared", "visible", "overlay", "fused", "side_by_side")
    infrared, visible, overlay, fused, row = (Image.open(tmp_path / "demo" / f"{name}.png") for name in names)
    assert infrared.mode == "L" and overlay.size == fused.size == visible.size and row.width > 4 * visible.width
    before, after = (np.asarray(image.convert("RGB")).astype(int) for image in (visible, fused))
    # 0.8 of the photo's width about its middle, 12 to the right: the left edge is outside of infrared
    assert np.array_equal(before[:, :30], after[:, :30]) and abs(before - after)[200:280, 280:360].mean() > 2


def test_demo_writes_all_three_and_a_row(tmp_path, capsys):
    assert main(["demo", "-o", str(tmp_path / "demo"), "--device", "cpu"]) == 0
    written = {path.name for path in (tmp_path / "demo").iterdir()}
    assert written == {"infrared.png", "visible.png", "fused.png", "side_by_side.png"}
    assert str(tmp_path / "demo" / "side_by_side.png") in capsys.readouterr().out
    visible, fused, row = (Image.open(tmp_path / "demo" / f"{n}.png") for n in ("visible", "fused", "side_by_side"))
    assert fused.size == visible.size
    assert row.width > 3 * visible.width


def test_folders_are_fused_pair_by_pair(folders, checkpoint, capsys):
    status = fuse(folders, folders / "infrared", folders / "visible", "-o", folders / "out", checkpoint=checkpoint)
    assert status == 0
    for number in range(3):
        assert Image.open(folders / "out" / f"{number}.png").size == (80 + number, 64)
    assert f"3 images written to {folders / 'out'}, 0 problems." in capsys.readouterr().out


def test_one_bad_pair_is_reported_and_the_rest_is_done(folders, checkpoint, capsys):
    (folders / "infrared" / "1.png").write_bytes(b"no image")
    (folders / "infrared" / "2.png").rename(folders / "infrared" / "9.png")
    status = fuse(folders, folders / "infrared", folders / "visible", "-o", folders / "out", checkpoint=checkpoint)
    assert status == 1
    assert [path.name for path in (folders / "out").iterdir()] == ["0.png"]
    errors = capsys.readouterr().err
    assert "1: infrared" in errors and "cannot be read" in errors
    assert "9.png has no partner 9.*" in errors
    assert "2.jpg has no partner 2.*" in errors


def test_strategies_and_precision_change_the_image(folders, checkpoint):
    pair = folders / "infrared" / "0.png", folders / "visible" / "0.jpg"
    choices = ([], ["--fusion", "mean"], ["--fusion", "cfm"], ["--contour", "infrared"], ["--contour", "visible"])
    images = []
    for number, choice in enumerate(choices):
        output = folders / f"{number}.png"
        assert fuse(folders, *pair, "-o", output, *choice, checkpoint=checkpoint) == 0
        images.append(output.read_bytes())
    assert len(set(images)) == len(choices)
    assert fuse(folders, *pair, "-o", folders / "half.png", "--dtype", "bfloat16", checkpoint=checkpoint) == 0
    half, full = (np.asarray(Image.open(folders / name), float) for name in ("half.png", "0.png"))
    assert 0 < abs(half - full).mean() < 2


def test_sizes_that_differ(folders, checkpoint, capsys):
    pair = folders / "infrared" / "0.png", folders / "visible" / "1.jpg"
    output = folders / "fused.png"
    assert fuse(folders, *pair, "-o", output, checkpoint=checkpoint) == 1
    assert "--resize-infrared" in capsys.readouterr().err
    assert not output.exists()
    assert fuse(folders, *pair, "-o", output, "--resize-infrared", checkpoint=checkpoint) == 0
    assert Image.open(output).size == (81, 64)


def test_a_fixed_range_of_deep_images(tmp_path, checkpoint):
    ramp = np.tile(np.linspace(1000, 5000, 64).astype(np.uint16), (64, 1))
    Image.fromarray(ramp).save(tmp_path / "thermal.png")
    Image.fromarray((ramp[::-1] // 20).astype(np.uint8).T).save(tmp_path / "photo.png")
    pair = tmp_path / "thermal.png", tmp_path / "photo.png"
    for name, choice in (("own", []), ("fixed", ["--infrared-range", "0", "16383"])):
        assert fuse(tmp_path, *pair, "-o", tmp_path / f"{name}.png", *choice, checkpoint=checkpoint) == 0
    assert (tmp_path / "own.png").read_bytes() != (tmp_path / "fixed.png").read_bytes()


@pytest.mark.parametrize(
    ("infrared", "visible", "output", "message"),
    [
        ("infrared/0.png", "visible", "out.png", "are a folder and a file"),
        ("infrared/0.png", "visible/0.jpg", "out", "has no image suffix that can be written"),
        ("infrared/0.png", "visible/0.jpg", "taken.png", "is a folder; -o names the image"),
        ("infrared/0.png", "visible/0.jpg", "infrared/0.png", "is one of the inputs"),
        ("infrared/0.png", "visible/0.jpg", "infrared/1.png/out.png", "Cannot make the folder"),
        ("infrared", "visible", "infrared", "is one of the inputs"),
        ("infrared", "visible", "visible", "is one of the inputs"),
        ("infrared", "visible", "link", "is one of the inputs"),
        ("infrared/0.png", "visible/0.jpg", "hard.png", "is one of the inputs"),
        ("infrared/0.png", "visible/0.jpg", "loop.png", "loop.png cannot be used: Too many levels of symbolic links"),
        ("infrared/0.png", "visible/0.jpg", "out.ico", "has no image suffix that can be written"),
        ("infrared/0.png", "visible/0.jpg", "out.pdf", "has no image suffix that can be written"),
        ("nothing", "visible", "out", "nothing: there is no such file or folder"),
        ("infrared", "nothing", "out", "nothing: there is no such file or folder"),
        ("empty", "empty", "out", "hold no images"),
        ("infrared/none.png", "visible/0.jpg", "out.png", "there is no such file"),
    ],
)
def test_what_cannot_work_is_said_and_nothing_is_written(
    folders, checkpoint, capsys, infrared, visible, output, message
):
    (folders / "empty").mkdir()
    (folders / "taken.png").mkdir()
    (folders / "link").symlink_to(folders / "visible")
    (folders / "hard.png").hardlink_to(folders / "infrared" / "0.png")
    (folders / "loop.png").symlink_to(folders / "loop.png")
    before = sorted(path for path in folders.rglob("*"))
    paths = folders / infrared, folders / visible, "-o", folders / output
    assert fuse(folders, *paths, checkpoint=checkpoint) == 1
    assert message in capsys.readouterr().err
    after = sorted(path for path in folders.rglob("*") if path != folders / "out")
    assert after == before


def test_no_such_model(folders, capsys):
    pair = folders / "infrared" / "0.png", folders / "visible" / "0.jpg"
    assert fuse(folders, *pair, "-o", folders / "out.png", checkpoint=folders / "nothing") == 1
    message = (
        f"maefuse: {folders / 'nothing'}: there is no such folder, and this is no name on the Hub. Check the path."
    )
    assert capsys.readouterr().err.strip() == message
    assert fuse(folders, *pair, "-o", folders / "out.png", checkpoint=pair[0]) == 1
    assert "is a file; a model is a folder" in capsys.readouterr().err


def fuse_folders(folders, checkpoint, *choices):
    paths = folders / "infrared", folders / "visible", "-o", folders / "out"
    return fuse(folders, *paths, *choices, checkpoint=checkpoint)


def test_a_second_run_does_what_is_left(folders, checkpoint, capsys):
    assert fuse_folders(folders, checkpoint) == 0
    whole = (folders / "out" / "0.png").read_bytes()
    (folders / "out" / "0.png").write_bytes(b"mine")
    (folders / "out" / "1.png").write_bytes(b"")
    (folders / "out" / "2.png").unlink()
    capsys.readouterr()
    assert fuse_folders(folders, checkpoint) == 0
    expected = "2 images written to .*, 0 problems, 1 were there already (--overwrite makes them again).\n"
    assert re.fullmatch(expected.replace("(", r"\(").replace(")", r"\)"), capsys.readouterr().out)
    assert (folders / "out" / "0.png").read_bytes() == b"mine"
    assert Image.open(folders / "out" / "1.png").size == (81, 64)
    assert fuse_folders(folders, checkpoint, "--overwrite") == 0
    assert (folders / "out" / "0.png").read_bytes() == whole
    assert {path.name for path in (folders / "out").iterdir()} == {"0.png", "1.png", "2.png"}


def test_where_nothing_can_be_fused_that_is_said_and_no_folder_made(folders, checkpoint, capsys):
    for number in range(3):
        (folders / "infrared" / f"{number}.png").rename(folders / "infrared" / f"{number}0.png")
    assert fuse_folders(folders, checkpoint) == 1
    assert capsys.readouterr().out == "Nothing was written, 6 problems.\n"
    assert not (folders / "out").exists()


def test_a_shutter_that_closes_takes_no_frame_out_of_a_folder(folders, checkpoint, capsys):
    closed = folders / "infrared" / "1.png"
    Image.new("L", (81, 64), 70).save(closed)
    assert fuse_folders(folders, checkpoint) == 0
    printed = capsys.readouterr()
    assert "1: infrared" in printed.err and "every pixel is 70" in printed.err
    assert "The visible image was written as it is." in printed.err
    assert "3 images written" in printed.out and "1 of them the visible image alone, 0 problems" in printed.out
    visible = Image.open(folders / "visible" / "1.jpg")
    assert np.array_equal(Image.open(folders / "out" / "1.png"), visible)
    # one pair is another matter
    assert fuse(folders, closed, folders / "visible" / "1.jpg", "-o", folders / "o.png", checkpoint=checkpoint) == 1
    assert not (folders / "o.png").exists()


def test_a_closed_lens_cap_of_the_visible_camera_is_a_problem(folders, checkpoint, capsys):
    Image.new("L", (81, 64), 0).save(folders / "visible" / "1.jpg")
    assert fuse_folders(folders, checkpoint) == 1
    assert not (folders / "out" / "1.png").exists()


def test_files_that_make_pillow_raise_anything_end_no_folder_run(folders, checkpoint, capsys):
    (folders / "infrared" / "0.png").write_bytes(b"qoif" + bytes(10))
    (folders / "infrared" / "1.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n{} loop\n")
    assert fuse_folders(folders, checkpoint) == 1
    errors = capsys.readouterr().err
    assert "0: infrared" in errors and "1: infrared" in errors and "Traceback" not in errors
    assert [path.name for path in (folders / "out").iterdir()] == ["2.png"]


def test_stopping_ends_with_a_sentence_and_leaves_nothing_half_written(folders, checkpoint, capsys, monkeypatch):
    def stop(self, file, *_, **__):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", stop)
    assert fuse_folders(folders, checkpoint) == 130
    assert capsys.readouterr().err.strip().endswith("maefuse: stopped. Every file that was written before is whole.")
    assert list((folders / "out").iterdir()) == []


def test_usage_errors_exit_with_two():
    with pytest.raises(SystemExit) as stop:
        main(["fuse", "a.png"])
    assert stop.value.code == 2
