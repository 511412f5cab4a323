"""Folder runs of `maefuse fuse`: several pairs in one call of the model, several workers."""

import shutil
import tempfile
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

from benchmarks.gpu.cases import Case, Row, Setting
from benchmarks.throughput import fuse_folder
from benchmarks.timing import in_turns, medians
from training.render_pairs import render_pairs

WAYS = (("float32", 2, 1), ("bfloat16", 2, 1), ("bfloat16", 8, 1), ("bfloat16", 8, 8))
"""Precision, workers, batch size."""


def folders(setting: Setting) -> Sequence[Case]:
    """Files to files with the first checkpoint, its loading included."""
    temporary = tempfile.TemporaryDirectory()

    @cache
    def folder() -> Path:
        path = Path(temporary.name)
        fill(path, setting)
        return path

    def measure(precision: str, workers: int, batch: int) -> list[Row]:
        model, more = setting.models[0], ("--batch-size", str(batch), "--device", str(setting.device))
        run = partial(fuse_folder, folder(), model, workers, precision, *more)
        seconds = medians(in_turns({"run": run}, 1, device=setting.device))["run"]
        row: Row = {"model": model, "precision": precision, "workers": workers, "batch": batch}
        return [row | {"pairs": setting.folder_pairs, "seconds": seconds}]

    return [
        Case(f"{precision}, {workers} workers, batch {batch}", partial(measure, precision, workers, batch))
        for precision, workers, batch in WAYS
    ]


def fill(folder: Path, setting: Setting) -> None:
    """One pair under many names."""
    width, height = setting.size
    render_pairs(folder, 1, height, width)
    for kind in ("infrared", "visible"):
        [first] = (folder / kind).iterdir()
        for number in range(1, setting.folder_pairs):
            shutil.copy(first, first.with_stem(f"{number:04d}"))
