# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""The ways to fuse: what the decoder sees (paper, Fig. 1), and what guides the merging module (section 4.4)."""

from typing import Literal, TypeAlias, get_args

FusionStrategy: TypeAlias = Literal["mean", "cfm", "mfm"]
"""What the decoder sees: the mean of both modalities' features, the comparative module's output, or the merging's."""

Contour: TypeAlias = Literal["cfm", "infrared", "visible"]
"""What guides the merging module: the comparative module's output, or one modality's features in its place."""

FUSION_STRATEGIES: tuple[FusionStrategy, ...] = get_args(FusionStrategy)
CONTOURS: tuple[Contour, ...] = get_args(Contour)
DEFAULT_FUSION: FusionStrategy = "mfm"
DEFAULT_CONTOUR: Contour = "cfm"


def check_strategy(fusion: str, contour: str) -> None:
    """Raise a `ValueError` where `fusion` or `contour` is unknown or does not fit the other."""
    for name, chosen, choices in (("fusion", fusion, FUSION_STRATEGIES), ("contour", contour, CONTOURS)):
        if chosen not in choices:
            *others, last = map(repr, choices)
            raise ValueError(f"{name} is {chosen!r}; choose {', '.join(others)} or {last}.")
    if contour != DEFAULT_CONTOUR and fusion != "mfm":
        raise ValueError(f"contour={contour!r} guides the merging module; it needs fusion='mfm', not {fusion!r}.")
