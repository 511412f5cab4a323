# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""`maefuse export`: a model for other runtimes than PyTorch."""

import argparse
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from packaging.version import Version

from ..inference.checkpoint import load_checkpoint
from .options import make_folder

EXTRA = ("onnx", "onnxruntime", "onnxscript")
"""What the extra `onnx` installs."""

OLDEST_TORCH = "2.13"
"""Whose exporter was tested."""

BROWSER_PRECISIONS = ("float32", "float16")


def add_export(commands: Any) -> None:
    """Add `maefuse export` to the subcommands."""
    parser = commands.add_parser("export", help="write a model for other runtimes than PyTorch")
    kinds = parser.add_subparsers(required=True, metavar="KIND")
    add_kind(
        kinds,
        "onnx",
        export_to_onnx,
        "ONNX files for onnxruntime, of any image size",
        "Write a model as ONNX files in float32, float16 and int8 that take luminance of any height and width, and a "
        "script that fuses with onnxruntime alone.",
    )
    browser = add_kind(
        kinds,
        "browser",
        export_to_browser,
        "a page that fuses in the browser, to be sent as a static Space",
        "Write a folder with the page of space-browser/, its scripts bundled, onnxruntime-web and the model: a static "
        "Space. Needs Node and npm.",
    )
    browser.add_argument(
        "--precision", choices=BROWSER_PRECISIONS, default=BROWSER_PRECISIONS[0], help="of the page's model"
    )


def add_kind(
    kinds: Any, name: str, command: Callable[[argparse.Namespace], int], short: str, long: str
) -> argparse.ArgumentParser:
    """Add one kind of export with what all have."""
    parser: argparse.ArgumentParser = kinds.add_parser(name, help=short, description=long + " Takes some minutes.")
    parser.add_argument("output", type=Path, metavar="OUT_DIR", help="folder to write to")
    parser.add_argument(
        "--model", "--checkpoint", help="folder or Hub name of a checkpoint; default: the one that ships"
    )
    parser.set_defaults(command=command)
    return parser


def export_to_onnx(options: argparse.Namespace) -> int:
    """`maefuse export onnx`."""
    require_extra()
    from ..onnx_export import export_onnx

    model, processor = load_checkpoint(options.model, device="cpu")
    make_folder(options.output)
    print_files(export_onnx(model, processor, options.output))
    return 0


def export_to_browser(options: argparse.Namespace) -> int:
    """`maefuse export browser`."""
    require_extra()
    from ..onnx_export import export_onnx
    from ..onnx_export.browser import require_page, write_page

    require_page()
    model, processor = load_checkpoint(options.model, device="cpu")
    make_folder(options.output)
    with tempfile.TemporaryDirectory() as temporary:
        export_onnx(model, processor, Path(temporary), [options.precision])
        print_files(write_page(Path(temporary), options.output, options.precision))
    print(f"Look at it: python -m http.server --directory {options.output}")
    return 0


def print_files(files: list[Path]) -> None:
    """Each file and its size."""
    for path in files:
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")


def require_extra() -> None:
    """Raise a `ValueError` that says what to install, where it is missing or too old."""
    if Version(torch.__version__) < Version(OLDEST_TORCH):
        raise ValueError(f"The export needs torch {OLDEST_TORCH} or newer, there is {torch.__version__}. Upgrade it.")
    if missing := [name for name in EXTRA if find_spec(name) is None]:
        raise ValueError(f'The export needs {", ".join(missing)}. Run pip install "maefuse-hf[onnx]".')
