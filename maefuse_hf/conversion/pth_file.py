# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Foreign checkpoint files: read without running what they hold, every tensor accounted for under its new name."""

import argparse
import pathlib
import pickle
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from .untrusted_file import UNREADABLE, listed, named_functions, refuse_attack, refuse_compressed, unreadable

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
# How much larger float32 tensors may be than their file: they come from 16 bits, and several names may share one.
LARGEST_GROWTH = 8
SMALLEST_FILE = 1 << 20
WEIGHTS = ("model", "state_dict")
WRAPPERS = {"module", "_orig_mod"}


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
    is_safe = path.suffix.lower() == ".safetensors"
    if not is_safe:
        refuse_compressed(path)
        refuse_attack(path)
    try:
        if is_safe:
            content: Any = load_file(path)
        else:
            with torch.serialization.safe_globals(HARMLESS):
                content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        met = re.search(r"GLOBAL (\S+)", str(error))
        foreign = {met[1]} if met else {".".join(function) for function in named_functions(path)}
        if not foreign:
            raise unreadable(path, error) from error
        raise ValueError(
            f"{path} holds more than tensors, which could run code when it is loaded: {listed(foreign)}. If you "
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
    refuse_odd_tensors(path, weights)
    tensors = {unwrapped(name): tensor.float() for name, tensor in weights.items()}
    if len(tensors) < len(weights):
        raise ValueError(f"{path} holds tensors twice, with and without one of the prefixes {', '.join(WRAPPERS)}.")
    return tensors


def refuse_odd_tensors(path: Path, tensors: Mapping[Any, Tensor]) -> None:
    """Raise a `ValueError` for tensors that are not real and dense, or that would take more memory than they bring."""
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized or tensor.is_complex():
            raise ValueError(f"{path}: {name} is no dense tensor of real numbers.")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise ValueError(
                f"{path}: {name} has the shape {tuple(tensor.shape)} and the strides {tensor.stride()}, but only "
                f"{tensor.untyped_storage().nbytes()} bytes of numbers. It is damaged, or made to fill memory."
            )
    needed = sum(tensor.numel() for tensor in tensors.values()) * torch.float32.itemsize
    size = path.stat().st_size
    if needed > LARGEST_GROWTH * max(size, SMALLEST_FILE):
        raise ValueError(
            f"{path}: its tensors would take {needed} bytes, the file has {size}. It is damaged, or made to fill "
            "memory."
        )


def is_mapping(value: Any) -> bool:
    """Whether names can be looked up in it."""
    return isinstance(value, Mapping)


def unwrapped(name: str) -> str:
    """The name of a tensor without the prefixes of wrappers."""
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


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
