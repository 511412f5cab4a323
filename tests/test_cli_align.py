import json

import numpy as np
import pytest
from PIL import Image
from test_registration_registering import INNER, SIZE, moved_pair, warp_about_middle

from maefuse_hf.cli import main
from maefuse_hf.cli.align import HOMOGRAPHY_PAIRS, described
from maefuse_hf.inference.pairs import evenly_spread
from maefuse_hf.registration import Registration, Rig, load_rig
from maefuse_hf.registration.geometry import corner_distance, shift

NARROW = ["--scale", "0.75", "0.84", "--rotation", "3.5"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A folder with a pair of unlike views, two folders of such pairs, and where infrared lies in all of them."""
    folder = tmp_path_factory.mktemp("scene")
    for name, seed in (("a", 3), ("b", 5)):
        infrared, visible, truth = moved_pair(warp_about_middle(), seed)
        for kind, image in (("infrared", infrared), ("visible", visible)):
            (folder / kind).mkdir(exist_ok=True)
            Image.fromarray(image).save(folder / kind / f"{name}.png")
    return folder, truth


def test_align_then_fuse_as_a_user_does(scene, tmp_path, capsys):
    folder, truth = scene
    pair = [str(folder / kind / "a.png") for kind in ("infrared", "visible")]
    rig, overlay, fused = (str(tmp_path / name) for name in ("rig.json", "overlay.png", "fused.png"))
    assert main(["align", *pair, "-o", rig, "--overlay", overlay, *NARROW]) == 0
    output = capsys.readouterr().out
    assert f"Score {load_rig(rig).score:.2f}" in output and rig in output and overlay in output
    assert corner_distance(load_rig(rig).transform, truth, INNER) < 1
    with Image.open(overlay) as image:
        assert image.size == SIZE

    assert main(["fuse", *pair, "-o", fused, "--rig", rig]) == 0
    with Image.open(pair[1]) as photo, Image.open(fused) as image:
        before, after = np.asarray(photo.convert("RGB")).astype(int), np.asarray(image).astype(int)
    assert before.shape == after.shape
    # outside of infrared's footprint the photo stays
    assert np.array_equal(after[:5], before[:5]) and abs(after - before)[100:140, 140:180].max() > 0

    again = tmp_path / "again.png"
    assert main(["fuse", *pair, "-o", str(again), "--align"]) == 0
    assert "score" in capsys.readouterr().out
    with Image.open(again) as image:
        assert abs(np.asarray(image).astype(int) - after).mean() < 1


def test_folders_make_one_rig(scene, tmp_path, capsys):
    folder, truth = scene
    rig = tmp_path / "rig.json"
    assert main(["align", str(folder / "infrared"), str(folder / "visible"), "-o", str(rig), *NARROW]) == 0
    assert "From 2 of 2 pairs" in capsys.readouterr().out
    assert json.loads(rig.read_text())["pairs"] == 2
    assert corner_distance(load_rig(rig).transform, truth, INNER) < 1


def test_a_homography_of_few_pairs_says_what_it_lacks():
    def line_of(model, pairs, given):
        rig = Rig((100, 80), SIZE, shift(20, 30), model, 0.5, pairs)
        return described(Registration(rig, True, tuple(range(pairs)), 0.5, 100.0), given)

    found = "Score 0.50. Infrared lies at 20.0, 30.0 to 120.0, 110.0 in the photo, {}.{}"
    lacks = f"\nA homography of fewer than {HOMOGRAPHY_PAIRS} pairs is often off by several pixels: give more pairs."
    few, enough = HOMOGRAPHY_PAIRS - 1, HOMOGRAPHY_PAIRS
    assert line_of("homography", 1, 1) == found.format("homography", "") + lacks
    assert line_of("homography", few, 12) == found.format("homography", f" From {few} of 12 pairs.") + lacks
    assert line_of("homography", enough, 12) == found.format("homography", f" From {enough} of 12 pairs.")
    assert line_of("similarity", 1, 1) == found.format("similarity", "")


def test_a_refusal_shows_what_it_refused_and_writes_no_rig(scene, tmp_path, capsys):
    folder, _ = scene
    noise = np.random.default_rng(0).integers(0, 256, (30, 40), dtype=np.uint8)
    Image.fromarray(noise).resize(INNER, Image.Resampling.BICUBIC).save(tmp_path / "noise.png")
    pair = [str(tmp_path / "noise.png"), str(folder / "visible" / "a.png")]
    rig, overlay = tmp_path / "rig.json", tmp_path / "overlay.png"
    assert main(["align", *pair, "-o", str(rig), "--overlay", str(overlay), *NARROW]) == 1
    assert "not trusted: its score is" in capsys.readouterr().err
    assert not rig.exists() and overlay.exists()
    assert main(["fuse", *pair, "-o", str(tmp_path / "fused.png"), "--align"]) == 1
    assert "not trusted" in capsys.readouterr().err and not (tmp_path / "fused.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["align", "infrared/a.png", "visible/none.png", "-o", "rig.json"], "no such file"),
        (["align", "infrared/a.png", "visible", "-o", "rig.json"], "a folder and a file"),
        (["align", "infrared/a.png", "visible/a.png", "-o", "rig.png"], "name it like rig.json"),
        (
            ["align", "infrared/a.png", "visible/a.png", "-o", "rig.json", "--overlay", "infrared/a.png"],
            "one of the inp",
        ),
        (["align", "infrared/a.png", "visible/a.png", "-o", "rig.json", "--overlay", "overlay"], "image suffix"),
        (["align", "infrared/a.png", "visible/a.png", "-o", "rig.json", "--scale", "1", "0.5"], "range of scales"),
        (["align", "infrared", "visible", "-o", "rig.json", "--pairs", "0"], "at least one"),
        (["fuse", "infrared", "visible", "-o", "fused", "--align"], "make a rig file"),
        (["fuse", "infrared/a.png", "visible/a.png", "-o", "fused.png", "--rig", "none.json"], "none.json"),
    ],
)
def test_what_cannot_be_done(scene, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(scene[0])
    assert main(arguments) == 1
    assert message in capsys.readouterr().err


def test_a_rig_of_other_sizes_is_refused(scene, tmp_path, capsys):
    folder, _ = scene
    (tmp_path / "rig.json").write_text(
        json.dumps({
            "maefuse_rig": 1, "infrared_size": [64, 48], "visible_size": list(SIZE), "model": "similarity",
            "transform": [[2, 0, 0], [0, 2, 0], [0, 0, 1]], "score": 1.0, "pairs": 1,
        })
    )  # fmt: skip
    pair = [str(folder / kind / "a.png") for kind in ("infrared", "visible")]
    assert main(["fuse", *pair, "-o", str(tmp_path / "f.png"), "--rig", str(tmp_path / "rig.json")]) == 1
    assert "holds for infrared of 64×48" in capsys.readouterr().err


def test_pairs_are_spaced_evenly():
    assert evenly_spread(range(10), 4) == [0, 3, 6, 9]
    assert evenly_spread([1, 2], 4) == [1, 2] and evenly_spread([1, 2, 3], 1) == [1]
