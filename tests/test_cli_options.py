import pytest

from maefuse_hf.cli.options import (
    make_folder,
    model_options,
    refuse_overwriting,
    require_image_suffix,
    strategy_options,
)


def test_defaults_are_the_shipped_model_and_the_papers_strategy():
    assert vars(model_options().parse_args([])) == {"model": None, "device": None, "dtype": "float32"}
    assert vars(strategy_options().parse_args([])) == {"fusion": "mfm", "contour": "cfm"}


def test_a_folder_is_made_or_the_reason_given(tmp_path):
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"Cannot make the folder .*file/inside: .*Choose another with -o"):
        make_folder(tmp_path / "file" / "inside")


def test_images_have_a_suffix_that_can_be_written(tmp_path):
    require_image_suffix(tmp_path / "fused.PNG")
    for name in ("fused", "fused.txt"):
        with pytest.raises(ValueError, match="has no image suffix"):
            require_image_suffix(tmp_path / name)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ValueError, match="is a folder; -o names the image"):
        require_image_suffix(tmp_path / "folder.png")


def test_inputs_are_not_overwritten_by_whatever_way_they_are_named(tmp_path):
    source = tmp_path / "a.png"
    refuse_overwriting([tmp_path / "b.png"], [source])
    with pytest.raises(ValueError, match="is one of the inputs"):
        refuse_overwriting([tmp_path / "b.png", tmp_path / "sub" / ".." / "a.png"], [source])


def test_hard_links_and_folders_count_as_inputs_too(tmp_path):
    source = tmp_path / "a.png"
    source.touch()
    (tmp_path / "b.png").hardlink_to(source)
    (tmp_path / "link").symlink_to(tmp_path)
    for output, read in ((tmp_path / "b.png", source), (tmp_path / "link", tmp_path)):
        with pytest.raises(ValueError, match="is one of the inputs"):
            refuse_overwriting([output], [read])


def test_links_that_lead_nowhere_are_said(tmp_path):
    for name, other in (("a.png", "b.png"), ("b.png", "a.png")):
        (tmp_path / name).symlink_to(tmp_path / other)
    with pytest.raises(OSError, match=r"a\.png cannot be used: Too many levels of symbolic links"):
        refuse_overwriting([tmp_path / "a.png"], [])
