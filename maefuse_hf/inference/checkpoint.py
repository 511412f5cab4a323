# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""The checkpoints that ship with the package, and how a model is loaded by its name or without one."""

import os
from pathlib import Path

import torch
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from ..image_processing_maefuse import MaeFuseImageProcessor
from ..modeling_maefuse import MaeFuseModel

SHIPPED_CHECKPOINTS = {
    name: Path(__file__).parent.parent / "pretrained" / name for name in ("maefuse-small", "maefuse-tiny")
}
"""Folders of the checkpoints that are installed with the package, by name; loading them needs no network."""

SHIPPED_CHECKPOINT = SHIPPED_CHECKPOINTS["maefuse-small"]
"""The one that is loaded where none is named."""


def load_checkpoint(
    model: str | os.PathLike[str] | None = None,
    device: str | None = None,
    dtype: torch.dtype = torch.float32,
) -> tuple[MaeFuseModel, MaeFuseImageProcessor]:
    """Load a model in evaluation mode and its image processor.

    Args:
        model: as `checkpoint_source` takes it.
        device: as in `torch.device`; without one, the first CUDA device where there is one, else the CPU.
        dtype: of the weights.

    Raises:
        OSError: if there is no such checkpoint.
        ValueError: if the checkpoint does not fit the model, or the device is unknown or not there.
    """
    source = checkpoint_source(model)
    refuse_no_folder(source)
    place = torch_device(device)
    loaded = MaeFuseModel.from_pretrained(source, dtype=dtype).to(place).eval()
    if place.type == "cpu" and dtype == torch.bfloat16 and loaded.config.tile_size is not None:
        # torch's fused attention gains nothing from bfloat16 on a CPU; over a whole image, memory would grow
        loaded.set_attn_implementation("eager")
    return loaded, MaeFuseImageProcessor.from_pretrained(source)


def checkpoint_source(model: str | os.PathLike[str] | None) -> str | os.PathLike[str]:
    """Where a checkpoint is: a folder or Hub name as it came, the folder of a shipped one by its name, or without one
    `SHIPPED_CHECKPOINT`. A folder of that name comes first."""
    if model is None:
        return SHIPPED_CHECKPOINT
    return model if Path(model).exists() else SHIPPED_CHECKPOINTS.get(str(model), model)


def refuse_no_folder(source: str | os.PathLike[str]) -> None:
    """Raise an `OSError` for what is neither a folder nor, by its form, a name on the Hub."""
    path = Path(source)
    if path.is_file():
        raise OSError(f"{source} is a file; a model is a folder. `maefuse convert` makes one of a .pth file.")
    if path.is_dir():
        return
    try:
        validate_repo_id(str(source))
    except HFValidationError as error:
        raise OSError(f"{source}: there is no such folder, and this is no name on the Hub. Check the path.") from error


def torch_device(device: str | None) -> torch.device:
    """The device of that name, or the best one; a `ValueError` says what is there if it cannot be had."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        # an allocation tells whether the device is there, which its name alone does not
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        here = ["cpu"] + [f"cuda:{index}" for index in range(torch.cuda.device_count())]
        raise ValueError(f"Device {device!r} cannot be used here ({error}). There is {', '.join(here)}.") from error
