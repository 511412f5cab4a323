# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""What subcommands of `maefuse` have in common: options, and checks of what shall be written."""

import argparse
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from ..image_files import FORMATS_TEXT, image_suffixes
from ..strategies import CONTOURS, DEFAULT_CONTOUR, DEFAULT_FUSION, FUSION_STRATEGIES

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

STOPPED = 130
"""The exit status after Ctrl-C, as shells have it."""


def model_options() -> argparse.ArgumentParser:
    """A parent parser: which model, where, in which precision."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--model",
        help="folder or Hub name of a checkpoint, or maefuse-tiny, the smaller one that ships; default: maefuse-small",
    )
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
    """Raise a `ValueError` where a path does not name an image of a format that is written."""
    if path.suffix.lower() not in image_suffixes():
        raise ValueError(
            f"{path} has no image suffix that can be written; name it like fused.png. There are {FORMATS_TEXT}."
        )
    if path.is_dir():
        raise ValueError(f"{path} is a folder; -o names the image to write.")


def require_there(given: Iterable[Path]) -> None:
    """Raise an `OSError` for a path where there is nothing."""
    for path in given:
        if not path.exists():
            raise FileNotFoundError(f"{path}: there is no such file or folder. Check the path.")


def require_files_or_folders(given: Sequence[Path]) -> None:
    """Raise an `OSError` for a path where there is nothing, a `ValueError` for a file beside a folder."""
    require_there(given)
    if len({path.is_dir() for path in given}) > 1:
        raise ValueError(f"{' and '.join(map(str, given))} are a folder and a file; give two images or two folders.")


def refuse_overwriting(outputs: Iterable[Path], sources: Iterable[Path]) -> None:
    """Raise a `ValueError` if what shall be written, an image or a folder, is one that is read, under any name.

    An `OSError` says where a name leads nowhere, as links do that lead to each other.
    """
    read = set().union(*map(file_identities, sources))
    for output in outputs:
        if read & file_identities(output):
            raise ValueError(f"{output} is one of the inputs; choose another name.")


def file_identities(path: Path) -> set[str | tuple[int, int]]:
    """By what a file is known under whatever name: where links end, and, if it is there, its place on the disk."""
    real = os.path.realpath(path)
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return {real}
    except OSError as error:
        raise OSError(f"{path} cannot be used: {error.strerror}. Choose another.") from error
    return {real, (status.st_dev, status.st_ino)}
