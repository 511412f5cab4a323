"""Losses of the guided training: pure functions that return named terms, and their weighted sum."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from maefuse_hf.losses_maefuse import alignment_loss, gradient_loss, intensity_loss, sobel


def laplacian_magnitude(luminance: Tensor) -> Tensor:
    """`|4 x - left - right - above - below|` of `(B, 1, H, W)` luminance, edges replicated; `(B, 1, H, W)`."""
    kernel = luminance.new_tensor([[0.0, -1.0, 0.0], [-1.0, 4.0, -1.0], [0.0, -1.0, 0.0]])
    padded = nn.functional.pad(luminance, (1, 1, 1, 1), mode="replicate")
    return nn.functional.conv2d(padded, kernel[None, None]).abs()


def blend_loss(fused: Tensor, infrared: Tensor, visible: Tensor) -> Tensor:
    """`|F - (max(V, I) + DARKER min(V, I)) / (1 + DARKER)|` averaged over pixels and batch; a scalar.

    The intensity term of Eq. 4 follows the brighter image alone, as this one would with `DARKER` at nothing. For the
    decoder's image before `contrast_gain`, which gives back the contrast that a blend loses.
    """
    target = torch.maximum(visible, infrared) + DARKER * torch.minimum(visible, infrared)
    return (fused - target / (1 + DARKER)).abs().mean()


DARKER = 0.7
"""How much the darker image counts beside the brighter one. Chosen with pixel formulas (docs/experiments.md)."""


def laplacian_loss(fused: Tensor, infrared: Tensor, visible: Tensor) -> Tensor:
    """`||lap F| - max(|lap V|, |lap I|)|` averaged over pixels and batch; a scalar.

    The second-order term that the authors' code has beside the gradient (their kernel is a 3×3 Laplacian too; the
    paper has no such term).
    """
    target = torch.maximum(laplacian_magnitude(visible), laplacian_magnitude(infrared))
    return (laplacian_magnitude(fused) - target).abs().mean()


def edge_loss(fused: Tensor, infrared: Tensor, visible: Tensor) -> Tensor:
    """`|grad F - grad S|`, S at each pixel the image whose gradient is longer; averaged over pixels, components and
    batch; a scalar.

    The gradient term of Eq. 4 compares magnitudes: an edge may come out the wrong way round, or doubled, at no cost.
    This one wants its direction and sign too.
    """
    of_fused, of_infrared, of_visible = (sobel(images) for images in (fused, infrared, visible))
    infrared_is_longer = of_infrared.square().sum(1, keepdim=True) > of_visible.square().sum(1, keepdim=True)
    return (of_fused - torch.where(infrared_is_longer, of_infrared, of_visible)).abs().mean()


def correlation_loss(fused: Tensor, infrared: Tensor, visible: Tensor) -> Tensor:
    """`1 - (r(F, I) + r(F, V)) / 2`, Pearson's r over the pixels of each image, averaged over the batch; a scalar.

    What Eq. 4 leaves out: it follows whichever image is brighter, this one wants the structure of both, whatever its
    scale and offset. Flat images correlate with nothing.
    """
    fused, infrared, visible = (centred(images.flatten(1)) for images in (fused, infrared, visible))
    similarity = nn.functional.cosine_similarity
    return 1 - (similarity(fused, infrared, dim=1) + similarity(fused, visible, dim=1)).mean() / 2


def centred(values: Tensor) -> Tensor:
    """`(B, N)` without each row's mean."""
    return values - values.mean(dim=1, keepdim=True)


def structure_loss(fused: Tensor, infrared: Tensor, visible: Tensor) -> Tensor:
    """`1 - (SSIM(F, I) + SSIM(F, V)) / 2` averaged over windows and batch; a scalar.

    SSIM as in `maefuse_hf.metrics`, for luminance in [0, 1] and with windows of equal weights, which are faster.
    """
    return 1 - (structural_similarity(fused, infrared) + structural_similarity(fused, visible)) / 2


def structural_similarity(one: Tensor, other: Tensor, side: int = 7) -> Tensor:
    """Mean SSIM of two `(B, 1, H, W)` batches in [0, 1] over all windows of `side` by `side` pixels; a scalar."""
    products = torch.cat([one, other, one * one, other * other, one * other], dim=1)
    mean_one, mean_other, square_one, square_other, product = nn.functional.avg_pool2d(products, side, 1).unbind(1)
    variances = square_one - mean_one**2 + square_other - mean_other**2
    covariance = product - mean_one * mean_other
    luminance = (2 * mean_one * mean_other + SSIM_C1) / (mean_one**2 + mean_other**2 + SSIM_C1)
    return (luminance * (2 * covariance + SSIM_C2) / (variances + SSIM_C2)).mean()


SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2

FUSION_TERMS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "intensity": intensity_loss,
    "gradient": gradient_loss,
    "blend": blend_loss,
    "edges": edge_loss,
    "laplacian": laplacian_loss,
    "correlation": correlation_loss,
    "structure": structure_loss,
}
"""Terms of the fusion loss by the names that `loss_weights` in a YAML uses; Eq. 4 has the first two."""


def reconstruction_terms(reconstructed: Tensor, images: Tensor) -> dict[str, Tensor]:
    """Mean squared error of `(B, 1, H, W)` luminance in [0, 1] that the decoder gives back for a single image."""
    return {"reconstruction": nn.functional.mse_loss(reconstructed, images)}


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
