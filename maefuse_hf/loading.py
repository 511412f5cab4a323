# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Loading of pretrained weights: strict, and with the encoder's own statistics."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import ViTMAEModel
from transformers.utils import cached_file

CHECKPOINT_SUFFIXES = {".pth", ".pt"}


def load_encoder(pretrained_encoder: str | os.PathLike[str]) -> tuple[ViTMAEModel, dict[str, list[float]]]:
    """A masked autoencoder's encoder that transformers saved, and what its images were normalised with.

    Returns:
        the encoder, and `image_mean` and `image_std` of its `preprocessor_config.json`, where it has them.

    Raises:
        ValueError: if the checkpoint lacks encoder weights, is another model or a `.pth` file.
        OSError: if there is no such checkpoint.
    """
    if Path(pretrained_encoder).suffix in CHECKPOINT_SUFFIXES:
        raise ValueError(
            f"{pretrained_encoder} is a file of torch.save, no folder that transformers saved. "
            "maefuse_hf.conversion.model_from_encoder takes it, and reads it without running what it holds."
        )
    with readable_errors(pretrained_encoder):
        loaded = ViTMAEModel.from_pretrained(
            pretrained_encoder, mask_ratio=0.0, output_loading_info=True, ignore_mismatched_sizes=True
        )
    encoder, info = cast(tuple[ViTMAEModel, dict[str, Any]], loaded)
    refuse_incomplete(f"{pretrained_encoder} as a ViTMAEModel", info, allowed_prefix="decoder.")
    preprocessor = cached_file(
        pretrained_encoder, "preprocessor_config.json", _raise_exceptions_for_missing_entries=False
    )
    statistics = {}
    if preprocessor is not None:
        values = json.loads(Path(preprocessor).read_text())
        statistics = {name: values[name] for name in ("image_mean", "image_std") if name in values}
    if Path(pretrained_encoder).exists():
        # a folder on this machine means nothing to whoever loads the model elsewhere
        encoder.config.name_or_path = ""
    return encoder, statistics


@contextmanager
def readable_errors(checkpoint: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what damaged weights and wrong configurations raise into an `OSError` or a `ValueError` of one line."""
    try:
        yield
    except SafetensorError as error:
        raise OSError(
            f"{checkpoint}: model.safetensors cannot be read ({error}). Download or copy it again, whole."
        ) from error
    except StrictDataclassError as error:
        raise ValueError(f"{checkpoint}: config.json cannot be used. {' '.join(str(error).split())}") from error


def refuse_incomplete(what: str, info: dict[str, Any], allowed_prefix: str | None) -> None:
    """Raise a `ValueError` that lists what a checkpoint lacks, has besides, or has in other sizes."""
    unexpected = [
        key for key in info["unexpected_keys"] if allowed_prefix is None or not key.startswith(allowed_prefix)
    ]
    mismatched = [f"{key} {tuple(found)} instead of {tuple(needed)}" for key, found, needed in info["mismatched_keys"]]
    problems = [
        f"{label}: {', '.join(sorted(keys))}"
        for label, keys in (
            ("missing", info["missing_keys"]),
            ("unknown", unexpected),
            ("other sizes", mismatched),
        )
        if keys
    ]
    if problems:
        raise ValueError(f"Cannot load {what}. {'; '.join(problems)}. Is it the right checkpoint, and whole?")
