# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""A table and what it is rendered to: aligned text, Markdown, HTML, CSV."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Cell:
    """A text, what stands small beside it, and whether it is the best of its column or row."""

    text: str
    note: str = ""
    best: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of equal length under a head; the first cell of a row names it."""

    head: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def transposed(self, corner: str) -> "Table":
        """Rows as columns, under a head that begins with `corner`."""
        (_, *head), *rows = zip(self.head, *self.rows)
        return Table((Cell(corner), *head), tuple(tuple(row) for row in rows))


def table_of(head: Sequence[str], rows: Sequence[Sequence[Cell | str]]) -> Table:
    """A table whose head, and whose cells where there is nothing to mark, are plain texts."""
    cells = [tuple(cell if isinstance(cell, Cell) else Cell(cell) for cell in row) for row in rows]
    return Table(tuple(map(Cell, head)), tuple(cells))


def as_text(table: Table) -> str:
    """Aligned columns; the best have a star, and notes are left out."""
    # a place for the star behind each number keeps the decimal points below each other
    lines = [
        [line[0].text, *(f"{cell.text}{'*' if cell.best else ' '}" for cell in line[1:])]
        for line in (table.head, *table.rows)
    ]
    widths = [max(map(len, column)) for column in zip(*lines)]
    padded = ([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])] for line in lines)
    return "\n".join(" ".join(line).rstrip() for line in padded)


def as_markdown(table: Table) -> str:
    """A Markdown table; the best are bold, and notes follow their text."""
    lines = [markdown_line(table.head), f"|{'---|' * len(table.head)}", *map(markdown_line, table.rows)]
    return "\n".join(lines)


def markdown_line(cells: Sequence[Cell]) -> str:
    """One line of a Markdown table."""
    texts = (f"**{escaped(cell.text)}**" if cell.best else escaped(cell.text) for cell in cells)
    return f"| {' | '.join(f'{text} {escaped(cell.note)}'.strip() for text, cell in zip(texts, cells))} |"


def escaped(text: str) -> str:
    """A text that cannot end a cell of a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")


def as_html(table: Table) -> str:
    """An HTML table; the best have the class `best`, and notes stand small below their text."""
    rows = "".join(
        f"<tr>{html_cell(first, 'th')}{''.join(html_cell(cell, 'td') for cell in cells)}</tr>"
        for first, *cells in table.rows
    )
    head = "".join(html_cell(cell, "th") for cell in table.head)
    return f'<table class="metrics"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def html_cell(cell: Cell, tag: str) -> str:
    """One cell of an HTML table."""
    note = f"<small>{escape(cell.note)}</small>" if cell.note else ""
    mark = ' class="best"' if cell.best else ""
    return f"<{tag}{mark}>{escape(cell.text)}{note}</{tag}>"


def as_csv(table: Table) -> str:
    """Comma-separated texts, without notes and marks."""
    file = io.StringIO(newline="")
    csv.writer(file).writerows([cell.text for cell in line] for line in (table.head, *table.rows))
    return file.getvalue()
