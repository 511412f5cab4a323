# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""The decoder (paper, section 3.1 and Eq. 3)."""

from torch import Tensor, nn
from transformers import ViTMAEConfig
from transformers.models.vit_mae.modeling_vit_mae import ViTMAELayer

from .position_embedding import sincos_position_embedding


class MaeFuseDecoder(nn.Module):
    """D, `F = D(Phi_F)` (Eq. 3): an embedding, ViT blocks, a norm and a linear layer to the pixels of each patch.

    A second linear layer beside it may weigh the images from which fine detail is taken (`refinement.py`).

    Args:
        hidden_size: width of the features that come in.
        decoder_hidden_size, num_layers, num_heads, intermediate_size: sizes of the ViT blocks.
        patch_values: numbers predicted for each patch.
        add_positions: add sin-cos positions of the actual grid at the entrance.
        attn_implementation: attention kernel of the blocks, as transformers names it.
        weight_values: numbers of the second layer for each patch; without it there is none.
    """

    def __init__(
        self,
        hidden_size: int,
        decoder_hidden_size: int,
        num_layers: int,
        num_heads: int,
        intermediate_size: int,
        patch_values: int,
        add_positions: bool,
        attn_implementation: str,
        weight_values: int | None = None,
    ) -> None:
        super().__init__()
        self.block_config = ViTMAEConfig(
            hidden_size=decoder_hidden_size,
            num_attention_heads=num_heads,
            intermediate_size=intermediate_size,
            layer_norm_eps=1e-6,
        )
        self.block_config._attn_implementation = attn_implementation
        self.add_positions = add_positions
        self.embed = nn.Linear(hidden_size, decoder_hidden_size)
        self.layers = nn.ModuleList([ViTMAELayer(self.block_config) for _ in range(num_layers)])
        self.norm = nn.LayerNorm(decoder_hidden_size, eps=self.block_config.layer_norm_eps)
        self.predict = nn.Linear(decoder_hidden_size, patch_values)
        self.weigh = None if weight_values is None else nn.Linear(decoder_hidden_size, weight_values)

    def forward(self, features: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
        """`(B, rows * columns, hidden)` to `(B, rows * columns, patch_values)`, normalised as the encoder's input, and
        to the second layer's `(B, rows * columns, weight_values)`, before a softmax, where there is one."""
        tokens = self.embed(features)
        if self.add_positions:
            tokens = tokens + sincos_position_embedding(*grid, tokens.shape[-1]).to(tokens)
        for layer in self.layers:
            tokens = layer(tokens)
        tokens = self.norm(tokens)
        return self.predict(tokens), None if self.weigh is None else self.weigh(tokens)
