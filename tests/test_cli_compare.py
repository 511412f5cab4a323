import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maefuse_hf.cli import main
from maefuse_hf.cli.compare import short_names
from maefuse_hf.visualization.captioned_row import GAP


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)


def run(*arguments):
    return main([str(argument) for argument in arguments])


def test_compare_puts_images_over_their_patches(tmp_path, capsys):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 40), np.uint8)
    save(tmp_path / "one.png", pixels)
    save(tmp_path / "two.png", np.full((20, 40, 3), (10, 20, 30)) + np.eye(20, 40)[..., None])
    images = tmp_path / "one.png", tmp_path / "two.png"
    assert run("compare", *images, "--zoom", "8,4,10", "-o", tmp_path / "new" / "row.png") == 0
    assert "Patch at 8,4, 10×5 px" in capsys.readouterr().out
    row = np.asarray(Image.open(tmp_path / "new" / "row.png"))
    assert row.shape[1] == 2 * 40 + GAP
    enlarged = pixels[4:9, 8:18].repeat(4, axis=0).repeat(4, axis=1)
    assert (row[-20:, :40, 0] == enlarged).all()
    assert run("compare", *images, "-o", tmp_path / "row.png") == 0
    assert re.search(r"Patch at \d+,\d+, 10×5 px", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.png"], "give at least two"),
        (["a.png", "a.png"], "stands twice"),
        (["a.png", "b.png"], "b is 9×8 px, a is 8×8 px"),
        (["a.png", "none.png"], "there is no such file"),
        (["a.png", "set/a.png", "--zoom", "5,5,9"], "does not lie within images of 8×8 px"),
        (["a.png", "set/a.png", "-o", "row"], "has no image suffix"),
        (["a.png", "set/a.png", "-o", "a.png"], "is one of the inputs"),
    ],
)
def test_what_cannot_be_compared(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "a.png", np.arange(64).reshape(8, 8))
    save(tmp_path / "set" / "a.png", np.arange(64).reshape(8, 8).T)
    save(tmp_path / "b.png", np.arange(72).reshape(8, 9))
    assert run("compare", "-o", "row.png", *arguments) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "row.png").exists()


def test_captions_have_the_folders_that_tell_them_apart():
    assert short_names([Path("x/a.png"), Path("b.png")]) == ["a", "b"]
    assert short_names([Path("/data/infrared/a.png"), Path("visible/a.jpg")]) == ["infrared/a", "visible/a"]
    with pytest.raises(ValueError, match="stands twice"):
        short_names([Path("a.png"), Path("a.jpg")])


@pytest.mark.parametrize("zoom", ["1,2", "1,2,x", "1,2,3,4"])
def test_a_zoom_is_three_numbers(zoom, capsys):
    with pytest.raises(SystemExit) as stop:
        run("compare", "a.png", "b.png", "-o", "row.png", "--zoom", zoom)
    assert stop.value.code == 2 and "is not X,Y,SIZE" in capsys.readouterr().err
