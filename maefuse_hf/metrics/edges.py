"""Metrics on edges by Sobel's operator: Qabf (edges kept) and Nabf (edges invented)."""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from .inputs import FusionMetric, as_images, chosen, settled

_PIXELS = (1, 2, 3)
_QUARTER_TURN = math.pi / 2


class _Preservation(NamedTuple):
    """A sigmoid over the likeness of two edges: top / (1 + exp(−slope·(likeness − middle)))."""

    top: float
    slope: float
    middle: float

    def of(self, likeness: Tensor) -> Tensor:
        return self.top * torch.sigmoid(self.slope * (likeness - self.middle))


_QABF_STRENGTH = _Preservation(top=0.9994, slope=15, middle=0.5)
_QABF_DIRECTION = _Preservation(top=0.9879, slope=22, middle=0.8)

_NABF_STRENGTH = _Preservation(top=0.9999, slope=19, middle=0.5)
_NABF_DIRECTION = _Preservation(top=0.9995, slope=22, middle=0.5)
_NABF_SOBEL_SCALE = 1 / 8
_NABF_LEAST_STRENGTH = 2
_NABF_EXPONENT = 1.5
_NABF_WEAK_WEIGHT = 0.001


def edge_preservation(
    fused: Tensor,
    infrared: Tensor,
    visible: Tensor,
    *,
    definition: str = "standard",
    allow_undefined: bool = False,
) -> Tensor:
    """Qabf: the share of the sources' edges that the fused image keeps, after Xydeas and Petrović.

    Sobel's operator, with zeros around the image, gives each pixel a strength g and a direction α = atan(∂ᵧ / ∂ₓ)
    (y upwards; π/2 where ∂ₓ is 0). Likeness of strength G = weaker / stronger; where both are equal the field's codes
    set G = g. Likeness of direction A = 1 − |α_S − α_F| / (π/2). Then Q = 0.9994 / (1 + exp(−15 (G − 0.5))) ·
    0.9879 / (1 + exp(−22 (A − 0.8))), and Qabf = Σ (Q_I g_I + Q_V g_V) / Σ (g_I + g_V). Source: Xydeas and Petrović,
    Electronics Letters 36 (2000).

    Args:
        fused, infrared, visible: luminance (B, 1, H, W) in 0…255.
        definition: "standard"; "symmetric" sets G = 1 where strengths are equal, and compares directions as lines
            have them, A = ||α_S − α_F| − π/2| / (π/2), so that a mirrored scene has the same value.
        allow_undefined: give NaN, not an error, where both sources are black.

    Returns:
        (B,) float64 in 0 … 0.9753 (fused and both sources are equal). Higher is better.

    Raises:
        ValueError: an image that `check_images` refuses, two black sources, which have no edge (any other constant
            has one against the zeros around it), or an unknown definition.
    """
    fused, infrared, visible = as_images(fused=fused, infrared=infrared, visible=visible)
    values = chosen("Qabf", _EDGE_PRESERVATION, definition)(fused, infrared, visible)
    return settled("Qabf", values, "an edge in one of the sources", fused, allow_undefined)


def fusion_artifacts(fused: Tensor, infrared: Tensor, visible: Tensor, *, definition: str = "standard") -> Tensor:
    """Nabf: the share of edges in the fused image that neither source has, after Petrović and Kumar.

    Only pixels count whose edge in the fused image is stronger than in both sources: Σ ((1 − Q_I) w_I + (1 − Q_V)
    w_V) over these, divided by Σ (w_I + w_V) over all. Sobel's operator divided by 8, the image mirrored at its
    border; Q = √(0.9999 / (1 + exp(−19 (G − 0.5))) · 0.9995 / (1 + exp(−22 (A − 0.5)))) with G = weaker / stronger
    strength (0 if one is 0) and A = ||α_S − α_F| − π/2| / (π/2); weights w = g^1.5 from strength 2 on, 0.001 below.
    Source: Petrović and Xydeas, ICCV 2005, as modified by Shreyamsha Kumar, Signal, Image and Video Processing 7
    (2013).

    Args:
        fused, infrared, visible: luminance (B, 1, H, W) in 0…255.
        definition: "standard"; "petrovic", before that modification, sums (2 − Q_I − Q_V)(w_I + w_V).

    Returns:
        (B,) float64 in 0 (fused equal to a source, or constant) … 1 ("petrovic": 2). Lower is better.

    Raises:
        ValueError: an image that `check_images` refuses, or an unknown definition.
    """
    images = as_images(fused=fused, infrared=infrared, visible=visible)
    return chosen("Nabf", _FUSION_ARTIFACTS, definition)(*images)


class _Edges(NamedTuple):
    """Strength, and direction in −π/2…π/2, of the edge at each pixel, (B, 1, H, W) each."""

    strength: Tensor
    direction: Tensor


def _edges(framed: Tensor) -> _Edges:
    """Sobel's operator on images that already have a frame of 1 px, (B, 1, H+2, W+2)."""
    columns = framed[..., 2:] - framed[..., :-2]
    rows = framed[..., :-2, :] - framed[..., 2:, :]
    right = columns[..., :-2, :] + 2 * columns[..., 1:-1, :] + columns[..., 2:, :]
    up = rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]
    direction = torch.where(right == 0, _QUARTER_TURN, (up / right).atan())
    return _Edges((right.square() + up.square()).sqrt(), direction)


def _likeness_of_strength(source: Tensor, fused: Tensor, where_equal: Tensor) -> Tensor:
    ratio = torch.minimum(source, fused) / torch.maximum(source, fused)
    return torch.where(source == fused, where_equal, ratio)


def _likeness_of_lines(source: Tensor, fused: Tensor) -> Tensor:
    """1 for parallel edges of either sign, 0 for perpendicular ones."""
    return ((source - fused).abs() - _QUARTER_TURN).abs() / _QUARTER_TURN


def _kept_in_the_field(source: _Edges, fused: _Edges) -> Tensor:
    strength = _likeness_of_strength(source.strength, fused.strength, where_equal=fused.strength)
    direction = 1 - (source.direction - fused.direction).abs() / _QUARTER_TURN
    return _QABF_STRENGTH.of(strength) * _QABF_DIRECTION.of(direction)


def _kept_symmetrically(source: _Edges, fused: _Edges) -> Tensor:
    everywhere = torch.ones_like(fused.strength)
    strength = _likeness_of_strength(source.strength, fused.strength, where_equal=everywhere)
    direction = _likeness_of_lines(source.direction, fused.direction)
    return _QABF_STRENGTH.of(strength) * _QABF_DIRECTION.of(direction)


def _qabf(kept: Callable[[_Edges, _Edges], Tensor], fused: Tensor, infrared: Tensor, visible: Tensor) -> Tensor:
    of_fused, first, second = (_edges(pad(image, (1, 1, 1, 1))) for image in (fused, infrared, visible))
    preserved = kept(first, of_fused) * first.strength + kept(second, of_fused) * second.strength
    return preserved.sum(dim=_PIXELS) / (first.strength + second.strength).sum(dim=_PIXELS)


_EDGE_PRESERVATION: dict[str, FusionMetric] = {
    "standard": partial(_qabf, _kept_in_the_field),
    "symmetric": partial(_qabf, _kept_symmetrically),
}


class _Artifacts(NamedTuple):
    """Of one source: what is not kept of its edges, and their weights, (B, 1, H, W) each."""

    lost: Tensor
    weight: Tensor


def _nabf_terms(fused: Tensor, infrared: Tensor, visible: Tensor) -> tuple[Tensor, _Artifacts, _Artifacts]:
    """Where the fused image's edge beats both sources' (bool), and the terms of infrared and visible."""
    of_fused, of_infrared, of_visible = (
        _edges(pad(image, (1, 1, 1, 1), mode="reflect") * _NABF_SOBEL_SCALE) for image in (fused, infrared, visible)
    )
    invented = of_fused.strength > torch.maximum(of_infrared.strength, of_visible.strength)
    return invented, _against(of_infrared, of_fused), _against(of_visible, of_fused)


def _against(source: _Edges, fused: _Edges) -> _Artifacts:
    has_edge = (fused.strength > 0).to(fused.strength.dtype)
    strength = _likeness_of_strength(source.strength, fused.strength, where_equal=has_edge)
    direction = _likeness_of_lines(source.direction, fused.direction)
    kept = (_NABF_STRENGTH.of(strength) * _NABF_DIRECTION.of(direction)).sqrt()
    strong = source.strength >= _NABF_LEAST_STRENGTH
    return _Artifacts(1 - kept, torch.where(strong, source.strength**_NABF_EXPONENT, _NABF_WEAK_WEIGHT))


def _nabf(fused: Tensor, infrared: Tensor, visible: Tensor) -> Tensor:
    invented, first, second = _nabf_terms(fused, infrared, visible)
    artifacts = invented * (first.lost * first.weight + second.lost * second.weight)
    return artifacts.sum(dim=_PIXELS) / (first.weight + second.weight).sum(dim=_PIXELS)


def _nabf_of_petrovic(fused: Tensor, infrared: Tensor, visible: Tensor) -> Tensor:
    invented, first, second = _nabf_terms(fused, infrared, visible)
    weight = first.weight + second.weight
    return (invented * (first.lost + second.lost) * weight).sum(dim=_PIXELS) / weight.sum(dim=_PIXELS)


_FUSION_ARTIFACTS: dict[str, FusionMetric] = {"standard": _nabf, "petrovic": _nabf_of_petrovic}
