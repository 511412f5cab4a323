"""Losses of the guided training: pure functions that return named terms, and their weighted sum."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from maefuse_hf.losses_maefuse import alignment_loss, gradient_loss, intensity_loss


def laplacian_magnitude(luminance: Tensor) -> Tensor:
    """`|4 x - left - right - above - below|` of `(B, 1, H, W)` luminance, edges replicated; `(B, 1, H, W)`."""
    kernel = luminance.new_tensor([[0.0, -1.0, 0.0], [-1.0, 4.0, -1.0], [0.0, -1.0, 0.0]])
    padded = nn.functional.pad(luminance, (1, 1, 1, 1), mode="replicate")
    return nn.functional.conv2d(padded, kernel[None, None]).abs()


def laplacian_loss(fused: Tensor, infrared: Tensor, visible: Tensor) -> Tensor:
    """`||lap F| - max(|lap V|, |lap I|)|` averaged over pixels and batch; a scalar.

    The second-order term that the authors' code has beside the gradient (their kernel is a 3×3 Laplacian too; the
    paper has no such term).
    """
    target = torch.maximum(laplacian_magnitude(visible), laplacian_magnitude(infrared))
    return (laplacian_magnitude(fused) - target).abs().mean()


FUSION_TERMS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "intensity": intensity_loss,
    "gradient": gradient_loss,
    "laplacian": laplacian_loss,
}
"""Terms of the fusion loss by the names that `loss_weights` in a YAML uses; Eq. 4 has the first two."""


def reconstruction_terms(reconstructed: Tensor, pictures: Tensor) -> dict[str, Tensor]:
    """Mean squared error of `(B, 1, H, W)` luminance in [0, 1] that the decoder gives back for a single picture."""
    return {"reconstruction": nn.functional.mse_loss(reconstructed, pictures)}


def alignment_terms(features: Tensor, infrared_features: Tensor, visible_features: Tensor) -> dict[str, Tensor]:
    """Eq. 5 on `(B, tokens, hidden)` features."""
    return {"alignment": alignment_loss(features, infrared_features, visible_features)}


def fusion_terms(fused: Tensor, infrared: Tensor, visible: Tensor, weights: Mapping[str, float]) -> dict[str, Tensor]:
    """Each term that `weights` names, on `(B, 1, H, W)` luminance in [0, 1]; Eq. 4 names intensity and gradient."""
    return {name: FUSION_TERMS[name](fused, infrared, visible) for name in weights}


def require_fusion_terms(weights: Mapping[str, float]) -> None:
    """Raise a `ValueError` that lists the terms there are, if `weights` names another or none weighs anything."""
    unknown = sorted(set(weights) - set(FUSION_TERMS))
    if unknown:
        raise ValueError(f"loss_weights names {', '.join(unknown)}; the terms are {', '.join(FUSION_TERMS)}.")
    if not any(weights.values()):
        raise ValueError(f"loss_weights gives no term any weight; the terms are {', '.join(FUSION_TERMS)}.")


def weighted_sum(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The total of named scalar terms; a term without a weight counts once."""
    return torch.stack([weights.get(name, 1.0) * term for name, term in terms.items()]).sum()
