# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""What the model gives back."""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor
from transformers.utils import ModelOutput


@dataclass
class MaeFuseOutput(ModelOutput):
    """What [`MaeFuseModel`] returns. Tokens are in raster order, `tokens = (H / patch) * (W / patch)`;
    under `tile_size`, those of overlapping tiles are averaged, attention weights too.

    Args:
        loss (`Tensor` of shape `()`, with `return_loss=True`):
            The fusion loss as training minimises it: the terms that `loss_weights` of the configuration names (paper,
            Eq. 4), of `decoded` and, with `source_detail_sigma`, of the refined image too; both as they are unclipped.
        fused (`Tensor` of shape `(B, 1, H, W)`):
            Fused luminance in [0, 1], float32: `decoded`, refined where the configuration says so, and clipped.
        decoded (`Tensor` of shape `(B, 1, H, W)`):
            Eq. 3 as the network made it: luminance, float32, nominally in [0, 1] but not clipped. Under `coarse_factor`
            its coarse structure is that of the same pair shrunk.
        trust (`Tensor` of shape `(B, 2, H, W)`, with `source_detail_sigma` in the configuration):
            The decoder's logits: how far it trusts its own image beside both sources, and infrared beside visible.
        source_weights (`Tensor` of shape `(B, 3, H, W)`, with `source_detail_sigma` in the configuration):
            What infrared, visible and the decoded image contribute to fine detail; a sum of one at each pixel.
        contour_features (`Tensor` of shape `(B, tokens, hidden)`, with `output_features=True` and
            `fusion="cfm"` or `"mfm"`):
            Phi_D: the comparative module's output, or what `contour` put in its place.
        fused_features (`Tensor` of shape `(B, tokens, hidden)`, with `output_features=True`):
            Phi_F, what the decoder saw.
        infrared_features, visible_features (`Tensor` of shape `(B, tokens, hidden)`, with `output_features=True`):
            Phi_I and Phi_V, the encoder's output.
        attentions (`dict[str, Tensor]`, with `output_attentions=True`):
            Attention weights of the fusion modules that ran, `(B, heads, tokens, keys)`, under the names
            `infrared_to_visible` and `visible_to_infrared` (CFM), `contour_to_infrared` and `contour_to_visible` or,
            with `merging_joint_softmax`, `contour_to_both` (MFM; infrared's keys first).
    """

    loss: Tensor | None = None
    fused: Tensor | None = None
    decoded: Tensor | None = None
    trust: Tensor | None = None
    source_weights: Tensor | None = None
    contour_features: Tensor | None = None
    fused_features: Tensor | None = None
    infrared_features: Tensor | None = None
    visible_features: Tensor | None = None
    attentions: dict[str, Tensor] | None = None


class FusedFeatures(NamedTuple):
    """What the fusion modules make of two `(B, tokens, hidden)` features (Eq. 2)."""

    fused: Tensor
    """Phi_F, what the decoder sees."""
    contour: Tensor | None
    """Phi_D, where there is one."""
    attentions: dict[str, Tensor | None]
    """Attention weights of the modules that ran, by name."""
