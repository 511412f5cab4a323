# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""A MaeFuse around a pretrained encoder, whichever layout the encoder comes in."""

import os
from pathlib import Path
from typing import Any

from ..loading import CHECKPOINT_SUFFIXES
from ..modeling_maefuse import MaeFuseModel
from .mae import read_mae_encoder


def model_from_encoder(
    pretrained_encoder: str | os.PathLike[str], encoder_heads: int | None = None, **config_fields: Any
) -> MaeFuseModel:
    """As `MaeFuseModel.from_encoder_pretrained`, which takes folders and Hub names, and for `.pth` files as well.

    Args:
        pretrained_encoder: folder or Hub name of a masked autoencoder, or its original file, such as
            `mae_pretrain_vit_large.pth`.
        encoder_heads: the encoder's attention heads, for a `.pth` file that is as wide as no published one.
        config_fields: fields of [`MaeFuseConfig`].

    Raises:
        ValueError: if the checkpoint lacks encoder weights, is another model, or a config field does not fit.
        OSError: if there is no such checkpoint.
    """
    if Path(pretrained_encoder).suffix in CHECKPOINT_SUFFIXES:
        encoder = read_mae_encoder(Path(pretrained_encoder), encoder_heads)
        return MaeFuseModel.from_encoder(encoder, **config_fields)
    if encoder_heads is not None:
        raise ValueError(
            f"encoder_heads={encoder_heads} is for .pth files; {pretrained_encoder} has a config.json that says it."
        )
    return MaeFuseModel.from_encoder_pretrained(pretrained_encoder, **config_fields)
