# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Masked autoencoders in the layout of their first publication (`mae_pretrain_vit_large.pth`): names and sizes.

The names are those of timm's vision transformer: `blocks.N.attn.qkv` and so on. What the authors of MaeFuse publish
has the same blocks.
"""

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor
from transformers import ViTMAEConfig, ViTMAEModel

from .pth_file import listed, read_tensors, renamed, require_exactly, tensor_shape

# Width of a published masked autoencoder -> attention heads, which no tensor tells: ViT-Base, -Large and -Huge,
# and the decoder that all three were trained with.
ENCODER_HEADS = {768: 12, 1024: 16, 1280: 16}
DECODER_HEADS = {512: 16}
MAE_LAYER_NORM_EPS = 1e-6

# What lies beside the encoder in a file of the whole autoencoder.
MAE_DECODER = ("decoder_", "mask_token")
CLASSIFIER = ("head.", "fc_norm.")


def read_mae_encoder(path: Path, attention_heads: int | None = None) -> ViTMAEModel:
    """The encoder of a masked autoencoder's original checkpoint; sizes are read off the tensors.

    Args:
        path: such as `mae_pretrain_vit_large.pth` or `mae_visualize_vit_large.pth`, whose decoder is left out.
        attention_heads: needed where the width is none of the published ones.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is another model or not whole, or the number of attention heads is not known.
    """
    tensors = read_tensors(path)
    what = f"{path} as a masked autoencoder"
    if finetuned := [name for name in tensors if name.startswith(CLASSIFIER)]:
        raise ValueError(
            f"{path} was finetuned as a classifier: it holds {listed(finetuned)}. Its features no longer keep what "
            "a decoder needs to give the image back. Take the pretrained checkpoint, mae_pretrain_vit_*.pth."
        )
    if any(name.startswith(("model1.", "model2.")) for name in tensors):
        raise ValueError(
            f"{path} is a whole MaeFuse of the paper's authors, no masked autoencoder. `maefuse convert` turns it into "
            "a folder for MaeFuseModel.from_pretrained."
        )
    tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith(MAE_DECODER)}
    renaming = {
        "cls_token": ("embeddings.cls_token",),
        "pos_embed": ("embeddings.position_embeddings",),
        **encoder_renaming("", "", tensors),
    }
    require_exactly(
        what, tensors, renaming, "A model that transformers saved is loaded from its folder instead of one file."
    )
    config = encoder_config(what, "", tensors, attention_heads, cls_token=True)
    encoder = ViTMAEModel(config)
    shapes = {name: tensor.shape for name, tensor in encoder.state_dict().items()}
    encoder.load_state_dict(renamed(what, tensors, renaming, shapes))
    return encoder


def encoder_renaming(source: str, target: str, names: Iterable[str]) -> dict[str, tuple[str | None, ...]]:
    """Names of an encoder's tensors, without class token and positions: timm's after `source`, ours after `target`."""
    projection = f"{target}embeddings.patch_embeddings.projection"
    return {
        f"{source}patch_embed.proj.weight": (f"{projection}.weight",),
        f"{source}patch_embed.proj.bias": (f"{projection}.bias",),
        **blocks_renaming(f"{source}blocks.", f"{target}layers.", names),
        **both(f"{source}norm", f"{target}layernorm"),
    }


def blocks_renaming(source: str, target: str, names: Iterable[str]) -> dict[str, tuple[str | None, ...]]:
    """Names of the tensors of as many vision transformer blocks as there are."""
    renaming: dict[str, tuple[str | None, ...]] = {}
    for number in range(number_of_blocks(source, names)):
        old, new = f"{source}{number}.", f"{target}{number}."
        renaming |= both(f"{old}norm1", f"{new}layernorm_before")
        renaming |= both(f"{old}attn.qkv", *(f"{new}attention.{name}_proj" for name in "qkv"))
        renaming |= both(f"{old}attn.proj", f"{new}attention.o_proj")
        renaming |= both(f"{old}norm2", f"{new}layernorm_after")
        renaming |= both(f"{old}mlp.fc1", f"{new}mlp.fc1")
        renaming |= both(f"{old}mlp.fc2", f"{new}mlp.fc2")
    return renaming


def both(source: str, *targets: str | None) -> dict[str, tuple[str | None, ...]]:
    """Weight and bias of a layer that becomes one layer or several."""
    return {
        f"{source}.{kind}": tuple(target and f"{target}.{kind}" for target in targets) for kind in ("weight", "bias")
    }


def number_of_blocks(prefix: str, names: Iterable[str]) -> int:
    """How many blocks there are: one more than the highest number, and at least one, so that it can be missed."""
    numbers = [re.match(rf"{re.escape(prefix)}(\d+)\.", name) for name in names]
    return 1 + max((int(match[1]) for match in numbers if match), default=0)


def encoder_config(
    what: str, source: str, tensors: Mapping[str, Tensor], attention_heads: int | None, cls_token: bool
) -> ViTMAEConfig:
    """The configuration of an encoder whose tensors are named as timm's after `source`."""
    width, channels, patch, other_side = tensor_shape(what, tensors, f"{source}patch_embed.proj.weight", 4)
    if patch != other_side:
        raise ValueError(f"{what} has patches of {patch}x{other_side} pixels; only square ones can be used.")
    side = grid_side(what, f"{source}pos_embed", tensors, cls_token)
    return ViTMAEConfig(
        hidden_size=width,
        num_hidden_layers=number_of_blocks(f"{source}blocks.", tensors),
        num_attention_heads=known_heads(what, "encoder", width, attention_heads, ENCODER_HEADS),
        intermediate_size=tensor_shape(what, tensors, f"{source}blocks.0.mlp.fc1.weight", 2)[0],
        image_size=side * patch,
        patch_size=patch,
        num_channels=channels,
        layer_norm_eps=MAE_LAYER_NORM_EPS,
        mask_ratio=0.0,
    )


def grid_side(what: str, name: str, tensors: Mapping[str, Tensor], cls_token: bool) -> int:
    """The side of the square grid that `(1, positions, width)` positions are for."""
    _, positions, _ = tensor_shape(what, tensors, name, 3)
    patches = positions - cls_token
    side = math.isqrt(patches)
    if side**2 != patches:
        raise ValueError(f"{what}: {name} has {patches} positions of patches, which is no square grid.")
    return side


def known_heads(what: str, part: str, width: int, given: int | None, published: Mapping[int, int]) -> int:
    """The number of attention heads: the given one, or that of the published model of this width.

    Raises:
        ValueError: if neither is there, or the width cannot be split into so many.
    """
    divisors = ", ".join(str(number) for number in range(1, width + 1) if width % number == 0)
    heads = published.get(width) if given is None else given
    if heads is None:
        raise ValueError(
            f"{what}: the {part} is {width} wide, which no published masked autoencoder is, and the number of its "
            f"attention heads stands in no tensor. Give it as {part}_heads (on the command line --{part}-heads), a "
            f"divisor of {width}: {divisors}."
        )
    if heads < 1 or width % heads:
        raise ValueError(
            f"{what}: the {part} is {width} wide, which cannot be split into {heads} attention heads. {part}_heads (on "
            f"the command line --{part}-heads) must be a divisor: {divisors}."
        )
    return heads
