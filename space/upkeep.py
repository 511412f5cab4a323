"""The folder for uploads and results: one of our own, emptied of everything old."""

import os
import tempfile
import threading
import time
from pathlib import Path

CACHE_VARIABLE = "GRADIO_TEMP_DIR"
CACHE_NAME = "maefuse-space"


def choose_cache() -> Path:
    """Give Gradio a folder that nobody else uses, within the one it would use; to be called before it is imported."""
    parent = os.environ.get(CACHE_VARIABLE) or tempfile.gettempdir()
    folder = Path(parent) / CACHE_NAME
    os.environ[CACHE_VARIABLE] = str(folder)
    return folder


def delete_old(folder: Path, age_s: float) -> None:
    """Delete every file in a folder, however deep, that is older than `age_s` seconds, and folders left empty."""
    oldest = time.time() - age_s
    for path in sorted(folder.rglob("*"), reverse=True):
        try:
            if path.is_dir():
                if path.stat().st_mtime < oldest and not any(path.iterdir()):
                    path.rmdir()
            elif path.stat().st_mtime < oldest:
                path.unlink()
        except FileNotFoundError:
            # Gradio, which deletes what it knows of, was there first
            continue


def keep_deleting(folder: Path, every_s: float, age_s: float) -> None:
    """Call `delete_old` now and then, in a thread that ends with the program.

    Gradio's own `delete_cache` misses some files, among them what MCP clients send as text.
    """

    def work() -> None:
        while True:
            time.sleep(every_s)
            delete_old(folder, age_s)

    threading.Thread(target=work, daemon=True, name="delete old images").start()
