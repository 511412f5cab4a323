import csv
import io

from maefuse_hf.evaluation.table import Cell, Table, as_csv, as_html, as_markdown, as_text, table_of

TABLE = table_of(
    ["system", "EN", "a|b"], [[Cell("ours"), Cell("1.5", "[1, 2]", best=True), "10"], ["<b>", Cell("0.25"), Cell("–")]]
)


def test_text_is_aligned_and_stars_the_best():
    assert as_text(TABLE).splitlines() == ["system   EN  a|b", "ours    1.5*  10", "<b>    0.25    –"]


def test_markdown_has_bold_and_notes_and_no_cell_ends_early():
    assert as_markdown(TABLE).splitlines() == [
        r"| system | EN | a\|b |",
        "|---|---|---|",
        "| ours | **1.5** [1, 2] | 10 |",
        "| <b> | 0.25 | – |",
    ]


def test_html_is_escaped_and_marks_the_best():
    html = as_html(TABLE)
    assert '<td class="best">1.5<small>[1, 2]</small></td>' in html
    assert "<th>&lt;b&gt;</th><td>0.25</td>" in html
    assert html.count("<tr>") == 3 and html.count("<th>") == 3 + 2


def test_csv_is_read_back():
    rows = list(csv.reader(io.StringIO(as_csv(table_of(["a", "b"], [["x,y", "1"], ['"', ""]])))))
    assert rows == [["a", "b"], ["x,y", "1"], ['"', ""]]


def test_transposed_twice_is_the_same():
    turned = TABLE.transposed("metric")
    assert [cell.text for cell in turned.head] == ["metric", "ours", "<b>"]
    assert turned.rows[0] == (Cell("EN"), Cell("1.5", "[1, 2]", best=True), Cell("0.25"))
    assert turned.transposed("system") == TABLE
    assert Table((Cell("a"),), ()).transposed("b").head == (Cell("b"),)
