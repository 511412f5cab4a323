# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Foreign checkpoint files: read without running what they hold, every tensor accounted for under its new name."""

import argparse
import pathlib
import pickle
import pickletools
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

# Source name -> the names that its tensor has in the model. Several names share it in equal parts along its first
# axis; None is a part that is not needed; no name at all means that the tensor is known, and not taken over.
Renaming = Mapping[str, tuple[str | None, ...]]

# What training scripts put beside the weights and torch does not read by itself: their options, and numbers that
# numpy made, under the names of numpy 2 and of numpy 1. None of these can run code.
NUMPY_SCALAR = cast(Callable, np.float64(0).__reduce__()[0])
HARMLESS: list[Callable | tuple[Callable, str]] = [
    argparse.Namespace,
    pathlib.PosixPath,
    pathlib.PurePosixPath,
    np.dtype,
    np.dtypes.Float64DType,
    np.dtypes.Float32DType,
    np.dtypes.Int64DType,
    (NUMPY_SCALAR, "numpy._core.multiarray.scalar"),
    (NUMPY_SCALAR, "numpy.core.multiarray.scalar"),
]
# Instructions of a pickle that name or call functions.
CALLS = {"GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "REDUCE", "STACK_GLOBAL"}
WEIGHTS = ("model", "state_dict")
WRAPPERS = {"module", "_orig_mod"}
# What torch raises, besides its own error, on bytes that are no checkpoint.
UNREADABLE = (
    OSError,
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    struct.error,
    SafetensorError,
)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The named tensors of a file that `torch.save` wrote, or of a `.safetensors` file, on the CPU, in float32.

    They lie in the file itself or under its key `model` or `state_dict`; optimizer, options and the like beside them
    are passed over. The prefixes that `DataParallel` and `torch.compile` put into names are taken out.

    Raises:
        OSError: if the file is missing, cut off, or of neither kind.
        ValueError: if it holds objects that could run code, or no tensors.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file. Check the path.")
    try:
        if path.suffix.lower() == ".safetensors":
            content: Any = load_file(path)
        else:
            with torch.serialization.safe_globals(HARMLESS):
                content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported global" not in str(error) and "Unsupported class" not in str(error):
            if not would_call_functions(path):
                raise unreadable(path, error) from error
            raise ValueError(f"{path} would run code when it is loaded, and was not. Do not use it.") from error
        raise ValueError(
            f"{path} holds more than tensors, which could run code when it is loaded: {first_sentences(error)} If you "
            "trust it, load it where it came from and save the tensors alone: torch.save(checkpoint['model'], ...)."
        ) from error
    except UNREADABLE as error:
        raise unreadable(path, error) from error

    weights = next((content[key] for key in WEIGHTS if is_mapping(content) and is_mapping(content.get(key))), content)
    if not is_mapping(weights) or not any(isinstance(value, Tensor) for value in weights.values()):
        found = f"only {listed(map(str, weights))}" if is_mapping(weights) else f"a {type(weights).__name__}"
        raise ValueError(f"{path} holds no named tensors, {found}. Is it a checkpoint?")
    if others := [str(name) for name, value in weights.items() if not isinstance(value, Tensor)]:
        raise ValueError(f"{path} holds entries among its tensors that are none: {listed(others)}.")
    tensors = {unwrapped(name): tensor.float() for name, tensor in weights.items()}
    if len(tensors) < len(weights):
        raise ValueError(f"{path} holds tensors twice, with and without one of the prefixes {', '.join(WRAPPERS)}.")
    return tensors


def would_call_functions(path: Path) -> bool:
    """Whether a file is, or holds as `torch.save` writes it, a pickle with instructions that call functions."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            return any(names_functions(file))
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".pkl"):
                with archive.open(name) as file:
                    if any(names_functions(file)):
                        return True
    return False


def names_functions(pickled: IO[bytes]) -> Iterator[bool]:
    """For each instruction of a pickle, none of which is carried out, whether it names or calls a function."""
    try:
        for instruction, _, _ in pickletools.genops(pickled):
            yield instruction.name in CALLS
    except ValueError:
        # no pickle, or none from here on
        return


def unreadable(path: Path, error: Exception) -> OSError:
    """The error for a file that is cut off or no checkpoint."""
    return OSError(
        f"{path} cannot be read as a checkpoint ({first_sentences(error)}). Download or copy it again, whole."
    )


def first_sentences(error: Exception) -> str:
    """The part of torch's message that says what it met, without its advice to load the file unsafely."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    met = [line for line in lines if "Unsupported" in line or "GLOBAL" in line]
    lines = [line for line in lines if "weights_only" not in line]
    return " ".join((met or lines or [type(error).__name__])[:1])[:300]


def is_mapping(value: Any) -> bool:
    """Whether names can be looked up in it."""
    return isinstance(value, Mapping)


def unwrapped(name: str) -> str:
    """The name of a tensor without the prefixes of wrappers."""
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def listed(names: Iterable[str]) -> str:
    """Names in order, with commas."""
    return ", ".join(sorted(names)) or "nothing"


def require_exactly(what: str, tensors: Mapping[str, Tensor], needed: Iterable[str], advice: str = "") -> None:
    """Raise a `ValueError` that lists every tensor that is missing and every one that is left over."""
    expected = set(needed)
    missing, left_over = expected - tensors.keys(), tensors.keys() - expected
    problems = [
        f"{label}: {listed(names)}" for label, names in (("missing", missing), ("left over", left_over)) if names
    ]
    if problems:
        raise ValueError(
            f"{what} does not have exactly the tensors that are needed. {'; '.join(problems)}. {advice}".strip()
        )


def renamed(
    what: str, tensors: Mapping[str, Tensor], renaming: Renaming, shapes: Mapping[str, torch.Size]
) -> dict[str, Tensor]:
    """The tensors under their names in the model, whose `shapes` they must have.

    Raises:
        ValueError: if tensors have other sizes; all are listed.
    """
    result: dict[str, Tensor] = {}
    problems = []
    for source, targets in renaming.items():
        wanted = next((shapes[target] for target in targets if target is not None), None)
        if wanted is None:
            continue
        tensor = tensors[source]
        whole = (len(targets) * wanted[0], *wanted[1:])
        if tensor.shape != whole:
            problems.append(f"{source} {tuple(tensor.shape)} instead of {whole}")
            continue
        parts = tensor.split(wanted[0])
        result |= {target: part for target, part in zip(targets, parts) if target is not None}
    if problems:
        raise ValueError(f"{what} has tensors of sizes that do not fit the others: {listed(problems)}.")
    return result


def tensor_shape(what: str, tensors: Mapping[str, Tensor], name: str, dimensions: int) -> tuple[int, ...]:
    """The shape of a tensor that sizes are read off; a `ValueError` if it has another number of dimensions."""
    shape = tuple(tensors[name].shape)
    if len(shape) != dimensions:
        raise ValueError(f"{what}: {name} has the shape {shape}; {dimensions} dimensions are needed.")
    return shape
