import pytest

from maefuse_hf.whole_files import write_text, written_beside


def test_a_file_is_there_when_it_is_whole(tmp_path):
    path = tmp_path / "report.html"
    with written_beside(path) as beside:
        beside.write_text("whole")
        assert beside.parent == tmp_path and not path.exists()
    assert path.read_text() == "whole" and list(tmp_path.iterdir()) == [path]


def test_what_was_there_stays_after_an_error(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("before")

    def fail():
        with written_beside(path) as beside:
            beside.write_text("half")
            raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        fail()
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


def test_text_is_utf_8_and_keeps_its_line_ends(tmp_path):
    write_text(tmp_path / "a.csv", "°C\r\n1\n")
    assert (tmp_path / "a.csv").read_bytes() == b"\xc2\xb0C\r\n1\n"


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_text(tmp_path / "nowhere" / "a.csv", "")
