"""Where the weights of fusion modules and decoder start, beside the random ones of the paper.

These change parameters in place, whether the model is fresh or was loaded.
"""

from typing import Any

import torch
from torch import Tensor, nn

from maefuse_hf import MaeFuseConfig, MaeFuseModel
from maefuse_hf.decoder import MaeFuseDecoder
from maefuse_hf.fusion_attention import LocalAttention
from maefuse_hf.fusion_modules import FusionAttention


@torch.no_grad()
def initialize_fusion_at_mean(model: MaeFuseModel, own_place_logit: float) -> None:
    """Make both fusion modules give the alignment stage's target (Eq. 5), the mean of both modalities' own tokens.

    Exact for the comparative module, and for the merging module up to its norm, where a token attends to its own place
    alone; with `"local"` attention as far as the bias reaches.

    Args:
        model: changed in place.
        own_place_logit: bias of a token's own place, with `"local"` attention.
    """
    comparing, merging = model.comparative_fusion, model.merging_fusion
    initialize_as_identity(comparing.cross_attention, 0.5, own_place_logit)
    initialize_as_identity(merging.merging_attention, 1.0 if merging.joint_softmax else 0.5, own_place_logit)
    zero(merging.mlp[-1])


NEW_LAYERS = ("merging_fusion.blocks.", "decoder.weigh.")
"""Parameters that a trained model may be given later."""


@torch.no_grad()
def with_new_layers(trained: MaeFuseModel, **config_fields: Any) -> MaeFuseModel:
    """A trained model with the further layers that these fields of its configuration ask for.

    New blocks of the merging module and the decoder's trust start without effect.

    Raises:
        ValueError: if the fields ask for anything else than `NEW_LAYERS`.
    """
    model = MaeFuseModel(MaeFuseConfig.from_dict({**trained.config.to_dict(), **config_fields}))
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    there = {name: tuple(value.shape) for name, value in trained.state_dict().items()}
    others = {name for name, _ in wanted.items() ^ there.items() if not name.startswith(NEW_LAYERS)}
    others |= {name for name in there if wanted.get(name) != there[name]}
    if others:
        raise ValueError(
            f"model={config_fields} changes other layers than new ones: {', '.join(sorted(others)[:5])}. Only "
            "merging_blocks and source_detail_sigma may be added to a trained model."
        )
    added = wanted.keys() - there.keys()
    model.load_state_dict(trained.state_dict(), strict=False)
    for index, block in enumerate(model.merging_fusion.blocks):
        if f"merging_fusion.blocks.{index}.mlp.0.weight" in added:
            zero(block.get_submodule("attention.out_proj"))
            zero(block.get_submodule("mlp.2"))
    if "decoder.weigh.bias" in added and model.decoder.weigh is not None:
        zero(model.decoder.weigh)
    return model


FUSION_MODULES = ("comparative_fusion.", "merging_fusion.")


@torch.no_grad()
def with_fresh_fusion(trained: MaeFuseModel, **config_fields: Any) -> MaeFuseModel:
    """The encoder and decoder of a trained model, under random fusion modules as these fields of its configuration
    shape them; without `source_detail_sigma` the decoder's layer of trust stays behind.

    Raises:
        ValueError: if the fields change encoder or decoder otherwise.
    """
    model = MaeFuseModel(MaeFuseConfig.from_dict({**trained.config.to_dict(), **config_fields}))
    kept = {name: value for name, value in trained.state_dict().items() if not name.startswith(FUSION_MODULES)}
    wanted = {name: value for name, value in model.state_dict().items() if not name.startswith(FUSION_MODULES)}
    if model.decoder.weigh is None:
        kept = {name: value for name, value in kept.items() if not name.startswith("decoder.weigh.")}
    others = kept.keys() ^ wanted.keys()
    others |= {name for name in kept.keys() & wanted.keys() if kept[name].shape != wanted[name].shape}
    if others:
        raise ValueError(
            f"model={config_fields} changes encoder or decoder: {', '.join(sorted(others)[:5])}. start.fresh_fusion "
            "keeps both as they were trained; leave those fields out."
        )
    model.load_state_dict(kept, strict=False)
    return model


@torch.no_grad()
def initialize_as_identity(attention: FusionAttention, weight: float, own_place_logit: float) -> None:
    """Make an attention give `weight` times what it attends to: values the identity, output `weight` times that."""
    nn.init.eye_(attention.v_proj.weight)
    nn.init.zeros_(attention.v_proj.bias)
    attention.out_proj.weight.copy_(weight * torch.eye(len(attention.out_proj.weight)))
    nn.init.zeros_(attention.out_proj.bias)
    if isinstance(attention, LocalAttention):
        prefer_own_place(attention, own_place_logit)


@torch.no_grad()
def prefer_own_place(attention: LocalAttention, logit: float) -> None:
    """Make `logit` the bias of a token's own place, and zero that of its neighbours."""
    attention.offset_bias.zero_()
    attention.offset_bias[:, attention.window**2 // 2] = logit


@torch.no_grad()
def initialize_decoder_as_read_out(decoder: MaeFuseDecoder, weight: Tensor, bias: Tensor) -> None:
    """Make a decoder the linear read-out of the encoder's tokens that pretraining left: blocks that add nothing yet.

    Exact where the encoder's last norm has no affine part.

    Args:
        decoder: changed in place; as wide as the encoder, and without `decoder_position_embedding`.
        weight: `(patch_values, hidden)`.
        bias: `(patch_values,)`.

    Raises:
        ValueError: if the shapes or the configuration do not fit.
    """
    width, encoder_width = decoder.embed.weight.shape
    if decoder.add_positions or width != encoder_width:
        raise ValueError(
            "A decoder starts as a read-out only with decoder_hidden_size equal to the encoder's hidden_size "
            f"(decoder {width}, encoder {encoder_width}) and decoder_position_embedding=False (it is "
            f"{decoder.add_positions})."
        )
    if weight.shape != decoder.predict.weight.shape:
        raise ValueError(f"The read-out is {tuple(weight.shape)}; {tuple(decoder.predict.weight.shape)} is needed.")
    nn.init.eye_(decoder.embed.weight)
    nn.init.zeros_(decoder.embed.bias)
    for layer in decoder.layers:
        zero(layer.get_submodule("attention.o_proj"))
        zero(layer.get_submodule("mlp.fc2"))
    decoder.predict.weight.copy_(weight)
    decoder.predict.bias.copy_(bias)


def zero(linear: nn.Module) -> None:
    """Make a linear layer give nothing."""
    for parameter in linear.parameters():
        nn.init.zeros_(parameter)
