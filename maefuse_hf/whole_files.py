# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Files that are whole or not there: written beside their place and then renamed, whatever stops the program."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Where to write a file that becomes `path` once it is whole; after an error it is gone, and `path` as before."""
    beside = path.with_name(f".{path.name}.partial")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, its line ends as they are.

    Raises:
        OSError: it cannot be written.
    """
    with written_beside(path) as beside:
        beside.write_text(text, encoding="utf-8", newline="")
