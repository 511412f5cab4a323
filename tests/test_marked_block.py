import pytest

from benchmarks.marked_block import replace_block


def test_what_stands_between_the_marks_is_replaced_and_nothing_else(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- zoo -->\nold\n<!-- /zoo -->\nb\n<!-- other -->\nkept\n<!-- /other -->\n")
    replace_block(page, "zoo", r"| \1 |")
    new = "a\n<!-- zoo -->\n| \\1 |\n<!-- /zoo -->\nb\n<!-- other -->\nkept\n<!-- /other -->\n"
    assert page.read_text() == new
    replace_block(page, "zoo", r"| \1 |")
    assert page.read_text() == new


@pytest.mark.parametrize(("text", "times"), [("no marks", 0), ("<!-- zoo -->\n<!-- /zoo -->\n" * 2, 2)])
def test_a_document_without_one_place_for_it_stays_as_it_was(tmp_path, text, times):
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(ValueError, match=f"<!-- zoo --> and <!-- /zoo --> once; it has them {times} times"):
        replace_block(page, "zoo", "new")
    assert page.read_text() == text
