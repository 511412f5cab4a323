"""What push_pairs.py checks and makes; tests/test_hub.py sends it and trains on it."""

import json

import datasets
import pytest
from PIL import Image

from maefuse_hf.example_scene.scene import render_example_pair
from training import publish, push_pairs


@pytest.fixture
def folder(tmp_path):
    """Three pairs: PNG, WebP, JPEG."""
    for number, suffix in enumerate(("png", "webp", "jpg")):
        for half, image in zip(("infrared", "visible"), render_example_pair(64, 72, seed=number)):
            (tmp_path / "pairs" / half).mkdir(parents=True, exist_ok=True)
            image.save(tmp_path / "pairs" / half / f"{number}.{suffix}")
    return tmp_path / "pairs"


def test_the_table_has_two_image_columns_that_name_the_files(folder):
    table = push_pairs.pairs_table(folder)
    assert list(table.features.items()) == [("infrared", datasets.Image()), ("visible", datasets.Image())]
    for column in ("infrared", "visible"):
        cells = table.cast_column(column, datasets.Image(decode=False))[column]
        assert [cell["path"] for cell in cells] == [
            str(folder / column / name) for name in ("0.png", "1.webp", "2.jpg")
        ]


def test_a_folder_with_metadata(folder):
    lines = [{"infrared_file_name": f"infrared/{n}.png", "visible_file_name": f"visible/{n}.png"} for n in (0,)]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert len(push_pairs.pairs_table(folder)) == 1


def test_all_problems_are_listed_and_nothing_is_sent(folder, capsys, monkeypatch):
    (folder / "visible" / "0.png").unlink()
    (folder / "infrared" / "1.webp").write_bytes(b"no image")
    Image.new("L", (72, 64), 9).save(folder / "infrared" / "2.jpg")
    monkeypatch.setattr(publish, "get_token", lambda: "hf_dummy")
    monkeypatch.setattr(datasets.Dataset, "push_to_hub", lambda *rest, **more: pytest.fail("sent"))
    assert push_pairs.main([str(folder), "org/pairs"]) == 1
    error = capsys.readouterr().err
    assert "has 3 problems. Nothing was sent" in error
    for number, message in (("0.png", "has no partner"), ("1", "cannot be read"), ("2", "no content")):
        assert [line for line in error.splitlines() if number in line and message in line]


@pytest.mark.parametrize(("make", "message"), [(False, "is no folder"), (True, "holds neither metadata.jsonl nor")])
def test_another_folder(tmp_path, capsys, monkeypatch, make, message):
    monkeypatch.setattr(publish, "get_token", lambda: "hf_dummy")
    if make:
        (tmp_path / "other").mkdir()
    assert push_pairs.main([str(tmp_path / "other"), "org/pairs"]) == 1
    assert message in capsys.readouterr().err


def test_no_pairs(tmp_path):
    for half in ("infrared", "visible"):
        (tmp_path / half).mkdir()
    with pytest.raises(ValueError, match="holds no pairs"):
        push_pairs.pairs_table(tmp_path)


def test_split_and_privacy_are_passed_on(folder, capsys, monkeypatch):
    class Commit:
        commit_url = "https://hub/commit"

    seen = {}
    monkeypatch.setattr(publish, "get_token", lambda: "hf_dummy")
    monkeypatch.setattr(datasets.Dataset, "push_to_hub", lambda self, repo, **more: seen.update(more) or Commit())
    assert push_pairs.main([str(folder), "org/pairs", "--split", "test", "--private"]) == 0
    assert seen == {"split": "test", "private": True}
    assert "data.pairs=org/pairs data.split=test" in capsys.readouterr().out
