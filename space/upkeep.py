"""The folder for uploads and results: one for each process, emptied of everything old, gone when the process ends."""

import atexit
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

CACHE_VARIABLE = "GRADIO_TEMP_DIR"
CACHE_NAME = "maefuse-space"


def choose_cache() -> Path:
    """Give Gradio a folder of this process alone, within the one it would use; to be called before it is imported.

    The folder goes when the process ends. What processes left that were killed goes now.
    """
    parent = Path(os.environ.get(CACHE_VARIABLE) or tempfile.gettempdir()) / CACHE_NAME
    folder = parent / str(os.getpid())
    for left in parent.glob("*"):
        if left == folder or not (left.name.isdecimal() and is_running(int(left.name))):
            remove(left)
    os.environ[CACHE_VARIABLE] = str(folder)
    atexit.register(remove, folder)
    return folder


def leave_on_sigterm() -> None:
    """End as after `sys.exit` when the system asks to, as containers are stopped; else nothing would be deleted."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def is_running(process: int) -> bool:
    """Whether there is a process of this number; where that cannot be asked without harm, it is taken to be there."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        # it belongs to somebody else
        return True
    return True


def remove(path: Path) -> None:
    """Delete a file, or a folder with all that is in it; what somebody else deletes first or owns is passed over."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with contextlib.suppress(FileNotFoundError, PermissionError):
        path.unlink()


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
