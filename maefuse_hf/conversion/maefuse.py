# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Checkpoints of the paper's authors as a `MaeFuseModel` and the processor that makes their images.

Their file has two parts, which also come as two files: encoder and decoder (`model1.`), and the fusion layer
(`model2.`). Where their code and the paper differ is said in `docs/architecture.md`.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from transformers.image_utils import PILImageResampling

from ..configuration_maefuse import MaeFuseConfig
from ..image_processing_maefuse import MaeFuseImageProcessor
from ..modeling_maefuse import MaeFuseModel
from ..position_embedding import sincos_position_embedding
from .mae import (
    DECODER_HEADS,
    blocks_renaming,
    both,
    encoder_config,
    encoder_renaming,
    known_heads,
    number_of_blocks,
)
from .pth_file import Renaming, listed, read_tensors, renamed, require_exactly, tensor_shape

AUTOENCODER, FUSION = "model1.", "model2."
PARTS = {AUTOENCODER: "encoder and decoder", FUSION: "fusion layer"}
# First parts of the names in the fusion layer; files of one part may go without its prefix.
FUSION_LAYERS = {"cross_model", "merge_model", "fc1", "fc2", "ln"}
# Their code gives the fusion layer this many heads, whatever its width.
FUSION_HEADS = 16
# Stored positions are fixed; files in half precision round them.
POSITION_TOLERANCE = 1e-2


def convert_checkpoint(
    *files: str | os.PathLike[str],
    encoder_heads: int | None = None,
    decoder_heads: int | None = None,
    native: bool = False,
    fusion_attention: Literal["pointwise", "global"] = "pointwise",
) -> tuple[MaeFuseModel, MaeFuseImageProcessor]:
    """A checkpoint of the paper's authors as a model in evaluation mode, and its image processor.

    All sizes are read off the tensors, except numbers of attention heads. Every tensor has its place: what is missing
    or left over is listed and refused. Files are read without running what they hold.

    Args:
        files: the checkpoint; or the files of its parts, in any order.
        encoder_heads, decoder_heads: attention heads, needed where a width is none of the published ones.
        native: fuse images at their own size. Without it, model and processor follow the authors' test procedure:
            images are stretched to the square that the positions are for, and held in 8 bits.
        fusion_attention: what a token of the fusion layer attends to: the token at its own place, as in their code,
            or all tokens, as in the paper; the weights were not trained for that, but training can start there.

    Raises:
        OSError: if a file cannot be read.
        ValueError: if the files do not make one whole checkpoint, or a number of heads is unknown or does not fit.
    """
    what = " and ".join(str(file) for file in files)
    tensors = join_parts([read_tensors(Path(file)) for file in files], what)
    renaming = {**autoencoder_renaming(tensors), **fusion_renaming(fusion_attention)}
    require_exactly(what, tensors, renaming, advice_on_parts(tensors, renaming))

    config = model_config(what, tensors, encoder_heads, decoder_heads, native, fusion_attention)
    refuse_other_positions(what, tensors, config)
    model = MaeFuseModel(config).eval()
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    # the class token, which their encoder does not have, is the one tensor that stays as it is made
    model.load_state_dict(model.state_dict() | renamed(what, tensors, renaming, shapes))
    torch.nn.init.zeros_(model.encoder.embeddings.cls_token)
    return model, image_processor(config, native)


def join_parts(parts: Iterable[Mapping[str, Tensor]], what: str) -> dict[str, Tensor]:
    """The tensors of all files under the names of one; a `ValueError` lists those that come twice."""
    joined: dict[str, Tensor] = {}
    for part in parts:
        named = with_prefixes(part)
        if twice := joined.keys() & named.keys():
            raise ValueError(f"{what} hold tensors twice: {listed(twice)}. Give each part of the model once.")
        joined |= named
    return joined


def with_prefixes(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a file with the prefix of its part, where it has none."""
    prefix = missing_prefix(tensors)
    return {prefix + name: tensor for name, tensor in tensors.items()}


def missing_prefix(names: Iterable[str]) -> str:
    """The prefix that the tensors of a file with these names lack; nothing if they have theirs."""
    names = list(names)
    if any(name.startswith(tuple(PARTS)) for name in names):
        return ""
    is_fusion = any(name.split(".")[0] in FUSION_LAYERS for name in names)
    return FUSION if is_fusion else AUTOENCODER


def autoencoder_renaming(names: Iterable[str]) -> Renaming:
    """Where the tensors of encoder and decoder go; positions are fixed and made anew."""
    return {
        f"{AUTOENCODER}pos_embed": (),
        **encoder_renaming(AUTOENCODER, "encoder.", names),
        f"{AUTOENCODER}decoder_pos_embed": (),
        **both(f"{AUTOENCODER}decoder_embed", "decoder.embed"),
        **blocks_renaming(f"{AUTOENCODER}decoder_blocks.", "decoder.layers.", names),
        **both(f"{AUTOENCODER}decoder_norm", "decoder.norm"),
        **both(f"{AUTOENCODER}decoder_pred", "decoder.predict"),
    }


def fusion_renaming(fusion_attention: str) -> Renaming:
    """Where the tensors of the fusion layer go; a token that sees one token alone needs no queries and keys."""
    renaming: dict[str, tuple[str | None, ...]] = {f"{FUSION}pos_embed": ()}
    for source, target in (
        ("cross_model", "comparative_fusion.cross_attention"),
        ("merge_model", "merging_fusion.merging_attention"),
    ):
        for kind in ("weight", "bias"):
            queries_and_keys = [f"{target}.{name}_proj.{kind}" for name in "qk"]
            renaming[f"{FUSION}{source}.in_proj_{kind}"] = (
                *(queries_and_keys if fusion_attention == "global" else (None, None)),
                f"{target}.v_proj.{kind}",
            )
        renaming |= both(f"{FUSION}{source}.out_proj", f"{target}.out_proj")
    renaming |= both(f"{FUSION}fc1", "merging_fusion.mlp.0")
    renaming |= both(f"{FUSION}fc2", "merging_fusion.mlp.2")
    renaming |= both(f"{FUSION}ln", "merging_fusion.norm")
    return renaming


def advice_on_parts(tensors: Mapping[str, Tensor], needed: Iterable[str]) -> str:
    """What to do about tensors that are missing or left over."""
    if f"{AUTOENCODER}cls_token" in tensors:
        return (
            "A class token belongs to a plain masked autoencoder: maefuse_hf.conversion.model_from_encoder and "
            "`encoder` in training take that file as it is."
        )
    for prefix, part in PARTS.items():
        if not any(name in tensors for name in needed if name.startswith(prefix)):
            return f"The whole {part} is missing: give its file as well."
    return "Is it a checkpoint of MaeFuse, and whole?"


def model_config(
    what: str,
    tensors: Mapping[str, Tensor],
    encoder_heads: int | None,
    decoder_heads: int | None,
    native: bool,
    fusion_attention: Literal["pointwise", "global"],
) -> MaeFuseConfig:
    """The configuration of the model whose tensors these are."""
    decoder_width = tensor_shape(what, tensors, f"{AUTOENCODER}decoder_embed.weight", 2)[0]
    decoder_mlp = tensor_shape(what, tensors, f"{AUTOENCODER}decoder_blocks.0.mlp.fc1.weight", 2)[0]
    return MaeFuseConfig(
        encoder_config=encoder_config(what, AUTOENCODER, tensors, encoder_heads, cls_token=False),
        use_cls_token=False,
        position_embedding="native",
        fusion_attention=fusion_attention,
        # without queries the number means nothing, and need not divide the width
        fusion_num_attention_heads=FUSION_HEADS if fusion_attention == "global" else None,
        fusion_intermediate_size=tensor_shape(what, tensors, f"{FUSION}fc1.weight", 2)[0],
        fusion_position_embedding=True,
        decoder_hidden_size=decoder_width,
        decoder_num_hidden_layers=number_of_blocks(f"{AUTOENCODER}decoder_blocks.", tensors),
        decoder_num_attention_heads=known_heads(what, "decoder", decoder_width, decoder_heads, DECODER_HEADS),
        decoder_intermediate_size=decoder_mlp,
        truncate_to_8_bit=not native,
    )


def refuse_other_positions(what: str, tensors: Mapping[str, Tensor], config: MaeFuseConfig) -> None:
    """Raise a `ValueError` if stored positions are not sin-cos of the encoder's grid; the model makes those anew."""
    encoder = config.encoder_config
    side = encoder.image_size // encoder.patch_size
    for name, width in (
        (f"{AUTOENCODER}pos_embed", encoder.hidden_size),
        (f"{AUTOENCODER}decoder_pos_embed", config.decoder_hidden_size),
        (f"{FUSION}pos_embed", encoder.hidden_size),
    ):
        stored, expected = tensors[name], sincos_position_embedding(side, side, width)[None]
        if stored.shape != expected.shape:
            raise ValueError(
                f"{what}: {name} is {tuple(stored.shape)} instead of {tuple(expected.shape)}, a {side}x{side} grid as "
                "in the encoder. Do the parts belong together?"
            )
        if not torch.allclose(stored, expected, rtol=0, atol=POSITION_TOLERANCE):
            raise ValueError(
                f"{what}: {name} is not the fixed sin-cos of a {side}x{side} grid, the only positions that can be "
                "converted."
            )


def image_processor(config: MaeFuseConfig, native: bool) -> MaeFuseImageProcessor:
    """The processor of a converted model: images at their own size, or the authors' test procedure."""
    encoder = config.encoder_config
    if native:
        return MaeFuseImageProcessor(size_divisor=encoder.patch_size)
    fixed: dict[str, Any] = {"height": encoder.image_size, "width": encoder.image_size}
    return MaeFuseImageProcessor(
        size=fixed,
        resample=PILImageResampling.BILINEAR,
        size_divisor=encoder.patch_size,
        eight_bit=True,
        resize_colour=True,
    )
