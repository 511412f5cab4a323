"""Losses of the guided training: pure functions that return named terms, and their weighted sum."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from maefuse_hf.losses_maefuse import alignment_loss, gradient_loss, intensity_loss

FUSION_TERMS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "intensity": intensity_loss,
    "gradient": gradient_loss,
}
"""Terms of the fusion loss (Eq. 4) by the names that `loss_weights` in a YAML uses."""


def reconstruction_terms(reconstructed: Tensor, pictures: Tensor) -> dict[str, Tensor]:
    """Mean squared error of `(B, 1, H, W)` luminance in [0, 1] that the decoder gives back for a single picture."""
    return {"reconstruction": nn.functional.mse_loss(reconstructed, pictures)}


def alignment_terms(features: Tensor, infrared_features: Tensor, visible_features: Tensor) -> dict[str, Tensor]:
    """Eq. 5 on `(B, tokens, hidden)` features."""
    return {"alignment": alignment_loss(features, infrared_features, visible_features)}


def fusion_terms(fused: Tensor, infrared: Tensor, visible: Tensor, weights: Mapping[str, float]) -> dict[str, Tensor]:
    """Each term of Eq. 4 that `weights` names, on `(B, 1, H, W)` luminance in [0, 1].

    Raises:
        ValueError: for a name that is no term.
    """
    unknown = sorted(set(weights) - set(FUSION_TERMS))
    if unknown:
        raise ValueError(f"loss_weights names {', '.join(unknown)}; the terms are {', '.join(FUSION_TERMS)}.")
    return {name: FUSION_TERMS[name](fused, infrared, visible) for name in weights}


def weighted_sum(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The total of named scalar terms; a term without a weight counts once."""
    return torch.stack([weights.get(name, 1.0) * term for name, term in terms.items()]).sum()
