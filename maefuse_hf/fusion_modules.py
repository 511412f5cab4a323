# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""The comparative and the merging fusion module (paper, section 3.1 and Eq. 2)."""

from collections.abc import Sequence
from typing import TypeAlias

from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from .fusion_attention import GlobalAttention, LocalAttention, PointwiseAttention
from .merging_block import MergingBlock

FusionAttention: TypeAlias = GlobalAttention | LocalAttention | PointwiseAttention


class ComparativeFusionModule(GradientCheckpointingLayer):
    """CFM, `Phi_D = C(Phi_I, Phi_V)` (Eq. 2): one cross-attention, shared by both directions, summed."""

    def __init__(self, cross_attention: FusionAttention) -> None:
        super().__init__()
        self.cross_attention = cross_attention

    def forward(
        self, infrared_features: Tensor, visible_features: Tensor, grid: tuple[int, int]
    ) -> tuple[Tensor, dict[str, Tensor | None]]:
        """Two `(B, tokens, hidden)` to Phi_D of the same shape, and the attention weights by name."""
        from_visible, to_visible = self.cross_attention(infrared_features, visible_features, grid=grid)
        from_infrared, to_infrared = self.cross_attention(visible_features, infrared_features, grid=grid)
        weights = {"infrared_to_visible": to_visible, "visible_to_infrared": to_infrared}
        return from_visible + from_infrared, weights


class MergingFusionModule(GradientCheckpointingLayer):
    """MFM, `Phi_F = M(Phi_I, Phi_V, Phi_D)` (Eq. 2): Phi_D queries both modalities, an MLP with a residual, a norm.

    Args:
        merging_attention: attention shared by both modalities.
        hidden_size: width of the features.
        intermediate_size: width of the MLP.
        layer_norm_eps: epsilon of the norm.
        joint_softmax: one softmax over both modalities instead of two whose results are summed.
        blocks: what follows before the norm (paper: nothing).
    """

    def __init__(
        self,
        merging_attention: FusionAttention,
        hidden_size: int,
        intermediate_size: int,
        layer_norm_eps: float,
        joint_softmax: bool,
        blocks: Sequence[MergingBlock] = (),
    ) -> None:
        super().__init__()
        self.merging_attention = merging_attention
        self.mlp = nn.Sequential(
            nn.Linear(hidden_size, intermediate_size), nn.GELU(), nn.Linear(intermediate_size, hidden_size)
        )
        self.norm = nn.LayerNorm(hidden_size, eps=layer_norm_eps)
        self.joint_softmax = joint_softmax
        self.blocks = nn.ModuleList(blocks)

    def forward(
        self,
        infrared_features: Tensor,
        visible_features: Tensor,
        contour_features: Tensor,
        grid: tuple[int, int],
    ) -> tuple[Tensor, dict[str, Tensor | None]]:
        """Three `(B, tokens, hidden)` to Phi_F of the same shape, and the attention weights by name."""
        merge = self.merging_attention
        if self.joint_softmax:
            merged, to_both = merge(contour_features, infrared_features, visible_features, grid=grid)
            weights = {"contour_to_both": to_both}
        else:
            from_infrared, to_infrared = merge(contour_features, infrared_features, grid=grid)
            from_visible, to_visible = merge(contour_features, visible_features, grid=grid)
            merged = from_infrared + from_visible
            weights = {"contour_to_infrared": to_infrared, "contour_to_visible": to_visible}
        merged = merged + self.mlp(merged)
        for block in self.blocks:
            merged = block(merged, infrared_features, visible_features, grid)
        return self.norm(merged), weights
