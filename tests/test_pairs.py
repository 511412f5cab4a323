import pytest

from maefuse_hf.pairs import PairPaths, match_pairs


def touch(folder, *names):
    folder.mkdir()
    for name in names:
        (folder / name).touch()
    return folder


def test_same_names_pair_up_whatever_the_suffix(tmp_path):
    infrared = touch(tmp_path / "infrared", "b.tiff", "a.png", "notes.txt")
    visible = touch(tmp_path / "visible", "a.JPG", "b.webp")
    (visible / "folder.png").mkdir()
    pairs, problems = match_pairs(infrared, visible)
    assert pairs == [
        PairPaths("a", infrared / "a.png", visible / "a.JPG"),
        PairPaths("b", infrared / "b.tiff", visible / "b.webp"),
    ]
    assert problems == []


def test_all_missing_partners_are_listed(tmp_path):
    infrared = touch(tmp_path / "infrared", "a.png", "b.png", "c.png")
    visible = touch(tmp_path / "visible", "b.png", "d.png")
    pairs, problems = match_pairs(infrared, visible)
    assert [pair.name for pair in pairs] == ["b"]
    assert problems == [
        f"{infrared / 'a.png'} has no partner a.* in {visible}",
        f"{infrared / 'c.png'} has no partner c.* in {visible}",
        f"{visible / 'd.png'} has no partner d.* in {infrared}",
    ]


def test_a_name_with_two_files_is_no_pair(tmp_path):
    infrared = touch(tmp_path / "infrared", "a.png", "a.tif")
    visible = touch(tmp_path / "visible", "a.png")
    pairs, problems = match_pairs(infrared, visible)
    assert pairs == []
    assert problems == [f"a is not one picture: {infrared / 'a.png'}, {infrared / 'a.tif'}"]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(OSError, match="missing"):
        match_pairs(tmp_path / "missing", tmp_path)
