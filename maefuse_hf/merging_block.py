# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""A further block of the merging module: attention to both modalities, and an MLP that sees both; not in the paper."""

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig

from .fusion_attention import GlobalAttention


class MergingBlock(nn.Module):
    """`x + A(LN(x); Phi_I, Phi_V)`, then `x + MLP([LN(x), Phi_I, Phi_V])`.

    A is one softmax over all tokens of both modalities, so a place that one sensor did not see can be filled in from
    elsewhere; the MLP sees a place's three tokens side by side, so it can choose pixel by pixel.

    Args:
        hidden_size: width of the features.
        num_heads: heads of the attention.
        intermediate_size: width of the MLP.
        layer_norm_eps: epsilon of both norms.
        config: names the attention kernel, as for `GlobalAttention`.
    """

    def __init__(
        self, hidden_size: int, num_heads: int, intermediate_size: int, layer_norm_eps: float, config: PreTrainedConfig
    ) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(hidden_size, eps=layer_norm_eps)
        self.attention = GlobalAttention(hidden_size, num_heads, config)
        self.mlp_norm = nn.LayerNorm(hidden_size, eps=layer_norm_eps)
        self.mlp = nn.Sequential(
            nn.Linear(3 * hidden_size, intermediate_size), nn.GELU(), nn.Linear(intermediate_size, hidden_size)
        )

    def forward(
        self, merged: Tensor, infrared_features: Tensor, visible_features: Tensor, grid: tuple[int, int]
    ) -> Tensor:
        """Three `(B, tokens, hidden)` to one."""
        attended, _ = self.attention(self.attention_norm(merged), infrared_features, visible_features, grid=grid)
        merged = merged + attended
        return merged + self.mlp(torch.cat([self.mlp_norm(merged), infrared_features, visible_features], dim=-1))
