# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""What is looked at in a file of `torch.save` before it is loaded: attacks, and archives that fill memory."""

import pickletools
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from safetensors import SafetensorError

# Modules and functions that no checkpoint needs and that attacks call.
ATTACKING_MODULES = {
    "os",
    "posix",
    "nt",
    "subprocess",
    "sys",
    "shutil",
    "socket",
    "pty",
    "runpy",
    "importlib",
    "ctypes",
}
ATTACKING_FUNCTIONS = {"eval", "exec", "execfile", "compile", "__import__", "open", "input", "breakpoint"}
# A file of the format before zip begins with this many pickles; the tensors' numbers follow.
LEADING_PICKLES = 5

# What torch and safetensors raise, besides UnpicklingError, on bytes that are no checkpoint.
UNREADABLE = (
    OSError,
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    MemoryError,
    struct.error,
    SafetensorError,
)


def refuse_attack(path: Path) -> None:
    """Raise a `ValueError` for a file whose pickles name functions that attacks call; none of it is carried out."""
    attacks = [
        f"{module}.{name}"
        for module, name in named_functions(path)
        if module.split(".")[0] in ATTACKING_MODULES
        or (module in ("builtins", "__builtin__") and name in ATTACKING_FUNCTIONS)
    ]
    if attacks:
        raise ValueError(
            f"{path} is malicious: it would run {listed(attacks)} when it is loaded. Nothing of it was run. Delete it."
        )


def refuse_compressed(path: Path) -> None:
    """Raise a `ValueError` for a zip archive that unpacks to more than it holds, which `torch.save` never writes."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, *UNREADABLE) as error:
        raise unreadable(path, error) from error
    size = path.stat().st_size
    if unpacked > size:
        raise ValueError(
            f"{path} is no file of torch.save: its {size} bytes unpack to {unpacked}, and torch.save does not compress."
        )


def named_functions(path: Path) -> Iterator[tuple[str, str]]:
    """Module and name of whatever the pickles of a file call or make objects of."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            for _ in range(LEADING_PICKLES):
                yield from functions_of_pickle(file)
        return
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".pkl"):
                    with archive.open(name) as file:
                        yield from functions_of_pickle(file)
    except (zipfile.BadZipFile, zlib.error, *UNREADABLE) as error:
        raise unreadable(path, error) from error


def functions_of_pickle(pickled: IO[bytes]) -> Iterator[tuple[str, str]]:
    """Module and name of each function or class that a pickle names; up to its end or to where it is damaged."""
    strings: list[str] = []
    memo: dict[int, str] = {}
    try:
        for instruction, argument, _ in pickletools.genops(pickled):
            if instruction.name in ("GLOBAL", "INST"):
                module, _, name = str(argument).partition(" ")
                yield module, name
            elif instruction.name == "STACK_GLOBAL" and len(strings) > 1:
                yield strings[-2], strings[-1]
            elif "UNICODE" in instruction.name or "STRING" in instruction.name:
                strings.append(str(argument))
            elif instruction.name == "MEMOIZE" or instruction.name.endswith("PUT"):
                # of other objects a wrong string is remembered, which names no function
                memo[len(memo) if argument is None else argument] = strings[-1] if strings else ""
            elif instruction.name.endswith("GET"):
                strings.append(memo.get(argument or 0, ""))
    except (ValueError, LookupError, struct.error):
        # no pickle, or none from here on
        return


def unreadable(path: Path, error: Exception) -> OSError:
    """The error for a file that is cut off or no checkpoint."""
    return OSError(
        f"{path} cannot be read as a checkpoint ({first_sentences(error)}). Download or copy it again, whole."
    )


def first_sentences(error: Exception) -> str:
    """The first line of torch's message, without its advice to load the file unsafely."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and "weights_only" not in line]
    return (lines or [type(error).__name__])[0][:300]


def listed(names: Iterable[str]) -> str:
    """Names in order, with commas."""
    return ", ".join(sorted(names)) or "nothing"
