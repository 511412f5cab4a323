# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Which weights were measured, and on which data: digests that anybody can compare."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from transformers.utils import cached_file

from .runner import Dataset

WEIGHTS_OF_A_CHECKPOINT = "model*.safetensors"


def weights_sha256(checkpoint: str | os.PathLike[str]) -> dict[str, str]:
    """SHA-256 of each weight file of a checkpoint, by file name, in hexadecimal digits.

    Args:
        checkpoint: its folder, or the name on the Hub that it was loaded from.

    Raises:
        OSError: if there is no checkpoint, or no `.safetensors` file in it.
    """
    folder = Path(checkpoint)
    if not folder.is_dir():
        # one commit's files lie in one folder of the Hub's cache
        folder = Path(str(cached_file(str(checkpoint), "config.json"))).parent
    digests = {path.name: file_sha256(path) for path in sorted(folder.glob(WEIGHTS_OF_A_CHECKPOINT))}
    if not digests:
        raise FileNotFoundError(f"{checkpoint} holds no weights named like {WEIGHTS_OF_A_CHECKPOINT}.")
    return digests


def data_sha256(dataset: Dataset) -> str:
    """SHA-256 of a data set's pairs: of a line for each, sorted by name, with the name and the digests of both files.

    It does not depend on where the files lie and how they are called. A file that cannot be read counts as such.
    """
    lines = [
        " ".join([pair.name, *map(digest_or_unreadable, (pair.infrared, pair.visible))]) + "\n"
        for pair in dataset.pairs
    ]
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def digest_or_unreadable(path: Path) -> str:
    """SHA-256 of a file, or the word `unreadable`; the evaluation reports such a file and goes on."""
    try:
        return file_sha256(path)
    except OSError:
        return "unreadable"


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_other_weights(what: str, measured: Mapping[str, str], checkpoint: Path) -> None:
    """Raise a `ValueError` where measured weights are not those of a checkpoint.

    Args:
        what: the file with the measurements, for the message.
        measured: `weights_sha256` of the weights that were measured; empty where that was not written down.
        checkpoint: folder.
    """
    here = weights_sha256(checkpoint)
    if not measured:
        raise ValueError(
            f"{what} does not say which weights it measured. Measure {checkpoint} again with this version of "
            "`maefuse evaluate`."
        )
    if dict(measured) != here:
        differing = sorted(name for name in {*measured, *here} if measured.get(name) != here.get(name))
        raise ValueError(
            f"{what} has the results of other weights than those of {checkpoint}: {', '.join(differing)} differs. "
            "Measure this checkpoint with `maefuse evaluate --model`."
        )
