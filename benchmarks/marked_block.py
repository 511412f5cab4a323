"""The part of a document that a benchmark writes: what stands between `<!-- name -->` and `<!-- /name -->`."""

import re
from pathlib import Path


def replace_block(document: Path, name: str, text: str) -> None:
    """Put `text` between the marks of that name.

    Raises:
        ValueError: without the marks, or with more than one pair of them; the document stays as it was.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    block = re.compile(f"({re.escape(begin)}\n).*?({re.escape(end)})", re.DOTALL)
    before = document.read_text(encoding="utf-8")
    after, found = block.subn(lambda marks: f"{marks[1]}{text}\n{marks[2]}", before)
    if found != 1:
        raise ValueError(f"{document} needs the marks {begin} and {end} once; it has them {found} times.")
    document.write_text(after, encoding="utf-8")
