import json

import pytest

from maefuse_hf.inference.pairs import PairPaths, find_pairs, match_pairs


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
    assert problems == [f"a is not one image: {infrared / 'a.png'}, {infrared / 'a.tif'}"]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(OSError, match="missing"):
        match_pairs(tmp_path / "missing", tmp_path)


def test_a_folder_of_two_folders(tmp_path):
    infrared, visible = (touch(tmp_path / half, "a.png", "b.png") for half in ("infrared", "visible"))
    (visible / "b.png").unlink()
    pairs, problems = find_pairs(tmp_path)
    assert pairs == [PairPaths("a", infrared / "a.png", visible / "a.png")]
    assert problems == [f"{infrared / 'b.png'} has no partner b.* in {visible}"]


def test_a_folder_with_metadata_lists_every_line_that_makes_no_pair(tmp_path):
    touch(tmp_path / "t", "2.png", "1.png")
    touch(tmp_path / "c", "2.jpg", "1.jpg")
    good = [{"infrared_file_name": f"t/{name}.png", "visible_file_name": f"c/{name}.jpg"} for name in "21"]
    missing = {"infrared_file_name": "t/3.png", "visible_file_name": "c/3.jpg"}
    lines = [*map(json.dumps, [*good, missing, {"infrared_file_name": "t/1.png"}, ["t/1.png"]]), "", "{"]
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    pairs, problems = find_pairs(tmp_path)
    assert pairs == [PairPaths(name, tmp_path / f"t/{name}.png", tmp_path / f"c/{name}.jpg") for name in "12"]
    where = tmp_path / "metadata.jsonl"
    assert problems[:4] == [
        f"{tmp_path / 't/3.png'} does not exist (line 3 of {where})",
        f"{tmp_path / 'c/3.jpg'} does not exist (line 3 of {where})",
        f"line 4 of {where} lacks infrared_file_name or visible_file_name",
        f"line 5 of {where} lacks infrared_file_name or visible_file_name",
    ]
    assert len(problems) == 5 and problems[4].startswith(f"line 7 of {where} is no JSON (")


def test_a_folder_in_neither_layout(tmp_path):
    with pytest.raises(ValueError, match=r"holds neither metadata\.jsonl nor the two folders infrared/ and visible/"):
        find_pairs(tmp_path)
    with pytest.raises(ValueError, match=r"no is no folder, so it holds neither metadata\.jsonl nor"):
        find_pairs(tmp_path / "no")


def test_what_macos_leaves_on_foreign_disks_is_no_image(tmp_path):
    infrared = touch(tmp_path / "infrared", "a.png", "._a.png", "._b.png")
    visible = touch(tmp_path / "visible", "a.png")
    pairs, problems = match_pairs(infrared, visible)
    assert [pair.name for pair in pairs] == ["a"] and problems == []


def test_images_of_formats_that_are_not_read_are_named(tmp_path):
    infrared = touch(tmp_path / "infrared", "a.png", "b.eps")
    visible = touch(tmp_path / "visible", "a.png")
    pairs, problems = match_pairs(infrared, visible)
    assert [pair.name for pair in pairs] == ["a"]
    assert problems == [
        f"{infrared / 'b.eps'} is of a format that is not read. Give PNG, TIFF, JPEG, WebP, BMP, PPM/PGM or GIF."
    ]
