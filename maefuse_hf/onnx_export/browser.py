# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""A folder that is a static Space: the page of `space-browser/`, bundled, and a model beside it."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from ..example_scene import render_example_pair
from .fuse_with_onnxruntime import SETTINGS

PAGE = Path(__file__).parent.parent.parent / "space-browser"
"""The page's sources; they lie in the repository, not in the installed package."""

PROGRAMS = ("node", "npm")


def require_page() -> None:
    """Raise an `OSError` that says what is missing to bundle the page."""
    if not (PAGE / "package-lock.json").is_file():
        raise OSError(
            f"The page's sources are not there ({PAGE}): they are in the repository, not in the installed package. "
            "Run the command in a clone of it, installed with pip install -e."
        )
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        raise OSError(f"Bundling the page needs {' and '.join(missing)}. Install Node 20 or newer, which has both.")


def write_page(exported: Path, folder: Path, precision: str) -> list[Path]:
    """Bundle the page into a folder, with one of the models of an ONNX export beside it.

    Packages come from npm as `package-lock.json` pins them; the page itself asks no other host.

    Args:
        exported: what `export_onnx` wrote.
        folder: gets the page.
        precision: of the model that the page runs.

    Returns:
        The page's files.

    Raises:
        OSError: if Node, npm or the page's sources are missing, or bundling fails.
    """
    require_page()
    settings = json.loads((exported / SETTINGS).read_text(encoding="utf-8"))
    settings["files"] = {precision: settings["files"][precision]}
    with tempfile.TemporaryDirectory() as temporary:
        sources = Path(temporary) / PAGE.name
        shutil.copytree(PAGE, sources, ignore=shutil.ignore_patterns("node_modules"))
        run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], sources)
        run(["node", "build.mjs", str(folder.resolve())], sources)
    file = settings["files"][precision]
    shutil.copyfile(exported / file, folder / file)
    (folder / SETTINGS).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    for name, image in zip(settings["inputs"], render_example_pair()):
        image.save(folder / f"example-{name}.png")
    return sorted(path for path in folder.rglob("*") if path.is_file())


def run(command: list[str], folder: Path) -> None:
    """Run a program; an `OSError` has its last words."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()[-5:]
        raise OSError(f"`{' '.join(command)}` failed: {' '.join(words)}")
