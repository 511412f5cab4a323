"""The README's block from files that are written by hand."""

import pytest
from test_results import files  # noqa: F401

from benchmarks import readme_results
from benchmarks.results import read_measured
from maefuse_hf.evaluation.damage import DAMAGES


@pytest.fixture
def document(tmp_path):
    path = tmp_path / "README.md"
    path.write_text("before\n<!-- results -->\nof last year\n<!-- /results -->\nafter\n")
    return path


def test_the_block_stands_between_its_marks(files, document):  # noqa: F811
    arguments = "--evaluation", files[0], "--downstream", files[1], document
    assert readme_results.main([*map(str, arguments)]) == 0
    text = document.read_text()
    assert text.startswith("before\n<!-- results -->\nWhat the images") and text.endswith("<!-- /results -->\nafter\n")
    assert "last year" not in text
    # people, people by night, cars, mIoU, share kept, VIF, Qabf
    assert "| **ours** | 50.0 | 50.0 | 50.0 | 40.0 | 0.70 | 0.700 | 0.700 |" in text
    assert "| average | 65.0* | 50.0 | 50.0 | 30.0* | – | 0.500 | 0.500 |" in text
    # the mean of haze and smoke; no other kind was measured
    assert f"| **ours** |{' – |' * 7} 0.70 |" in text and f"| rule |{' – |' * 7} 0.68 |" in text
    assert "under 2 kinds of damage to one image, 2 pairs" in text


def test_a_segmenter_that_was_left_out_has_no_column(files, document):  # noqa: F811
    measured = read_measured([files[0]], *files[1:])
    measured.downstream["segmenter"] = {}
    readme_results.write_readme(measured, document)
    text = document.read_text()
    assert "| **ours** | 50.0 | 50.0 | 50.0 | 0.70 | 0.700 | 0.700 |" in text and "egmenter" not in text


def test_every_kind_is_in_one_group():
    assert sorted(kind for kinds in readme_results.GROUPS.values() for kind in kinds) == sorted(DAMAGES)


def test_the_same_once_more_changes_nothing(files, document):  # noqa: F811
    measured = read_measured([files[0]], *files[1:])
    readme_results.write_readme(measured, document)
    once = document.read_text()
    readme_results.write_readme(measured, document)
    assert document.read_text() == once


def test_a_document_without_marks_is_refused(files, tmp_path):  # noqa: F811
    path = tmp_path / "notes.md"
    path.write_text("no marks")
    with pytest.raises(ValueError, match="it has them 0 times"):
        readme_results.write_readme(read_measured([files[0]], *files[1:]), path)
