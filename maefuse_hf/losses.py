# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""The losses of the guided training as pure functions: the paper's (Eq. 4 and 5), others, and their weighted sum.

Luminance is `(B, 1, H, W)`, nominally in [0, 1].
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from .guide import guide


def sobel(luminance: Tensor) -> Tensor:
    """Sobel gradient `(g_x, g_y)` of `(B, 1, H, W)` luminance, edges replicated; `(B, 2, H, W)`."""
    across = luminance.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
    kernels = torch.stack([across, across.T])[:, None]
    padded = nn.functional.pad(luminance, (1, 1, 1, 1), mode="replicate")
    return nn.functional.conv2d(padded, kernels)


def gradient_magnitude(luminance: Tensor) -> Tensor:
    """Sobel gradient magnitude `|g_x| + |g_y|`, edges replicated.

    Args:
        luminance: `(B, 1, H, W)`.

    Returns:
        `(B, 1, H, W)`, not negative; a step of one grey value gives at most eight of it.
    """
    return sobel(luminance).abs().sum(dim=1, keepdim=True)


def intensity_loss(fused: Tensor, infrared: Tensor, visible: Tensor) -> Tensor:
    """Intensity term of Eq. 4, `|F - max(V, I)|` averaged over pixels and batch; a scalar."""
    return (fused - torch.maximum(visible, infrared)).abs().mean()


def gradient_loss(fused: Tensor, infrared: Tensor, visible: Tensor) -> Tensor:
    """Gradient term of Eq. 4, `||grad F| - max(|grad V|, |grad I|)|` averaged over pixels and batch; a scalar."""
    target = torch.maximum(gradient_magnitude(visible), gradient_magnitude(infrared))
    return (gradient_magnitude(fused) - target).abs().mean()


def alignment_loss(features: Tensor, infrared_features: Tensor, visible_features: Tensor) -> Tensor:
    """Eq. 5, the mean squared distance of `(B, tokens, hidden)` features to the mean of both modalities'; a scalar."""
    return ((infrared_features + visible_features) / 2 - features).square().mean()


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
    "edges": edge_loss,
    "laplacian": laplacian_loss,
    "correlation": correlation_loss,
    "structure": structure_loss,
}
"""Terms of the fusion loss by the names that `loss_weights` in a configuration uses; Eq. 4 has the first two. Each is
`(fused, infrared, visible) -> scalar`."""


def guide_edge_loss(fused: Tensor, target: Tensor) -> Tensor:
    """`|grad F - grad T|` averaged over pixels, components and batch; a scalar."""
    return (sobel(fused) - sobel(target)).abs().mean()


def guide_structure_loss(fused: Tensor, target: Tensor) -> Tensor:
    """`1 - SSIM(F, T)` averaged over windows and batch; a scalar."""
    return 1 - structural_similarity(fused, target)


CONTRAST_FLOOR = 2 / 255
"""Standard deviation that is added, squared, to both: what is flat may stay so."""


def guide_contrast_loss(fused: Tensor, target: Tensor, side: int = 7) -> Tensor:
    """`|log(s_F / s_T)|` averaged over windows and batch; a scalar.

    s is the standard deviation within a window of `side` by `side` pixels, above `CONTRAST_FLOOR`. What is uncertain
    comes out pale under the other terms; here half of the target's contrast costs as much as twice of it.
    """
    averages = nn.functional.avg_pool2d(torch.cat([fused, target, fused * fused, target * target], dim=1), side, 1)
    mean_fused, mean_target, square_fused, square_target = averages.unbind(1)
    of_fused, of_target = square_fused - mean_fused**2, square_target - mean_target**2
    floor = CONTRAST_FLOOR**2
    return ((of_fused.clamp(min=0) + floor).log() - (of_target.clamp(min=0) + floor).log()).abs().mean() / 2


GUIDE_TERMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "guide": nn.functional.l1_loss,
    "guide_edges": guide_edge_loss,
    "guide_structure": guide_structure_loss,
    "guide_contrast": guide_contrast_loss,
}
"""Further terms: how far the fused image is from the guide (`guide.py`). Each is `(fused, guide) -> scalar`."""


def reconstruction_terms(reconstructed: Tensor, images: Tensor) -> dict[str, Tensor]:
    """Mean squared error of `(B, 1, H, W)` luminance in [0, 1] that the decoder gives back for a single image."""
    return {"reconstruction": nn.functional.mse_loss(reconstructed, images)}


def alignment_terms(features: Tensor, infrared_features: Tensor, visible_features: Tensor) -> dict[str, Tensor]:
    """Eq. 5 on `(B, tokens, hidden)` features."""
    return {"alignment": alignment_loss(features, infrared_features, visible_features)}


def fusion_terms(
    fused: Tensor, infrared: Tensor, visible: Tensor, weights: Mapping[str, float], target: Tensor | None = None
) -> dict[str, Tensor]:
    """Each term that `weights` names, on `(B, 1, H, W)` luminance in [0, 1]; Eq. 4 names intensity and gradient.

    Args:
        fused: the image that is judged.
        infrared, visible: the pair that it is to show, undamaged.
        weights: weight of each term by its name in `FUSION_TERMS` or `GUIDE_TERMS`.
        target: the pair's `guide` where it has been made before; only the terms of `GUIDE_TERMS` need it.
    """
    # in the order of the terms, whatever the order of the weights, so that sums are the same to the last bit
    terms = {name: term(fused, infrared, visible) for name, term in FUSION_TERMS.items() if name in weights}
    if needs_guide(weights):
        target = guide(infrared, visible) if target is None else target
        terms |= {name: term(fused, target) for name, term in GUIDE_TERMS.items() if name in weights}
    return terms


def needs_guide(weights: Mapping[str, float]) -> bool:
    """Whether `fusion_terms` compares with the guide under these weights."""
    return any(name in weights for name in GUIDE_TERMS)


def require_fusion_terms(weights: Mapping[str, float]) -> None:
    """Raise a `ValueError` that says what to change, if `fusion_terms` cannot make a loss of these weights."""
    there_are = (*FUSION_TERMS, *GUIDE_TERMS)
    unknown = sorted(set(weights) - set(there_are))
    if unknown:
        raise ValueError(f"loss_weights names {', '.join(unknown)}; the terms are {', '.join(there_are)}.")
    if not any(weights.values()):
        raise ValueError(f"loss_weights gives no term any weight; the terms are {', '.join(there_are)}.")


def weighted_sum(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The total of named scalar terms; a term without a weight counts once."""
    return torch.stack([weights.get(name, 1.0) * term for name, term in terms.items()]).sum()
