# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""What subcommands of `maefuse` have in common: options, and checks of what shall be written."""

import argparse
import os
from collections.abc import Iterable
from pathlib import Path

import torch
from PIL import Image

from ..strategies import CONTOURS, DEFAULT_CONTOUR, DEFAULT_FUSION, FUSION_STRATEGIES

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def model_options() -> argparse.ArgumentParser:
    """A parent parser: which model, where, in which precision."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--model", help="folder or Hub name of a checkpoint; default: the one that ships")
    parser.add_argument("--device", help="such as cpu or cuda:0; default: a CUDA device if there is one")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="precision of the weights")
    return parser


def strategy_options() -> argparse.ArgumentParser:
    """A parent parser: how the model shall fuse."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--fusion", choices=FUSION_STRATEGIES, default=DEFAULT_FUSION, help="fusion strategy")
    parser.add_argument("--contour", choices=CONTOURS, default=DEFAULT_CONTOUR, help="where contours come from")
    return parser


def make_folder(folder: Path) -> None:
    """Make a folder before any work is done; an `OSError` says what to do where it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"Cannot make the folder {folder}: {error.strerror}. Choose another with -o.") from error
    if not os.access(folder, os.W_OK):
        raise OSError(f"The folder {folder} cannot be written to. Choose another with -o.")


def require_image_suffix(path: Path) -> None:
    """Raise a `ValueError` where Pillow would not know what kind of image to write."""
    kinds = Image.registered_extensions()
    if kinds.get(path.suffix.lower()) not in Image.SAVE:
        raise ValueError(f"{path} has no image suffix that can be written; name it like fused.png.")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; -o names the image to write.")


def refuse_overwriting(outputs: Iterable[Path], sources: Iterable[Path]) -> None:
    """Raise a `ValueError` if an image that shall be written would replace one that is read."""
    read = {path.resolve() for path in sources}
    for output in outputs:
        if output.resolve() in read:
            raise ValueError(f"{output} is one of the inputs; choose another name with -o.")
