"""Which pairs of a folder a list chooses."""

import pytest
from PIL import Image

from benchmarks.named_pairs import named_pairs


@pytest.fixture
def folder(tmp_path):
    for half in ("infrared", "visible"):
        (tmp_path / half).mkdir()
        for name in ("c", "a", "b"):
            Image.new("L", (4, 4)).save(tmp_path / half / f"{name}.png")
    Image.new("L", (4, 4)).save(tmp_path / "infrared" / "lone.png")
    return tmp_path


def test_a_list_chooses_pairs_and_what_makes_no_pair_is_said(folder, tmp_path, capsys):
    names = tmp_path / "names.txt"
    names.write_text("c\nelsewhere\na\n")
    assert [pair.name for pair in named_pairs(folder, names)] == ["a", "c"]
    assert "lone" in capsys.readouterr().out
    assert [pair.name for pair in named_pairs(folder, None)] == ["a", "b", "c"]


def test_a_list_of_other_names_is_refused(folder, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("d\n")
    with pytest.raises(ValueError, match=r"has none of the pairs that .*names.txt names; give a list of its names"):
        named_pairs(folder, names)


def test_a_folder_without_pairs_is_refused(tmp_path):
    for half in ("infrared", "visible"):
        (tmp_path / half).mkdir()
    with pytest.raises(ValueError, match="has no pairs; give a folder of pairs"):
        named_pairs(tmp_path, None)
