# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""From images of two cameras to where one lies in the other, or to a refusal."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from .rig import MODELS, Rig
from .search_range import SearchRange

TRUSTED = 0.25
"""Least score of a pair that is believed."""

EVIDENCE = 34.0
"""Least evidence of a pair that is believed: a logarithm of how much likelier than chance its parts find the transform.
Both were chosen on training pairs: `docs/experiments.md`."""

SAME = 0.025
"""How far the estimates of two pairs of one rig may differ, as a share of the photo's longer side (parallax)."""

LEAST_SIDE = 32
"""Pixels a side that an image must have."""

MOST_ELONGATED = 5
"""How much longer one side of an image may be than the other; the work grows without bounds otherwise."""

PERCENTILES = 0.5, 99.5
"""What becomes black and white in an image of more than 8 bits."""

Pair = tuple[np.ndarray, np.ndarray]

HELP = (
    "Give a pair with clear edges in both images or several pairs of the same camera, or narrow the search with the "
    "scale and the rotation that can be (--scale, --rotation)."
)
NEEDS_OPENCV = "Registration uses OpenCV and SciPy, which are not installed: pip install 'maefuse-hf[align]'."


@dataclass(frozen=True, eq=False)
class Registration:
    """Where infrared lies in the photo, and how sure that is.

    Attributes:
        rig: the transform with both sizes; `rig.score` is the share of the images' parts that agree with it.
        trusted: whether that is enough.
        used: which of the pairs it was made from.
        correlation: of the parts' orientations under it, in [-1, 1].
        evidence: the logarithm of how much likelier than chance a pair's parts find it, on average over the pairs.
    """

    rig: Rig
    trusted: bool
    used: tuple[int, ...]
    correlation: float
    evidence: float


class RegistrationRefusedError(ValueError):
    """No transform was found that can be trusted.

    Attributes:
        reason: why, in a sentence; the message goes on with what would help at the command line.
        registration: the best transform, None where there was none at all.
    """

    def __init__(self, reason: str, registration: Registration | None = None, advice: str = "") -> None:
        super().__init__(f"{reason} {advice}".strip())
        self.reason, self.registration = reason, registration


def register(
    infrared: np.ndarray, visible: np.ndarray, model: str = "similarity", search: SearchRange | None = None
) -> Registration:
    """Find where an infrared image lies in a photo.

    Coarse: the correlation of edge orientations, blind to which side of an edge is bright, over all shifts for a grid
    of scales and turns (`coarse.py`). Fine: from the best places, the transform that the images' parts find likeliest,
    each by its own correlations (`fine.py`). The score is the share of the parts that, each for itself, find the same
    place (`agreement.py`).

    Args:
        infrared: (h, w) real numbers.
        visible: (H, W) luminance.
        model: `similarity` or `homography`.
        search: what is looked for; by default infrared covers 0.7 to 1.2 of the photo's width, turned by up to 6°.

    Raises:
        RegistrationRefusedError: an image is even, or score or evidence is too low. It is a `ValueError`.
        ValueError: an array of other dimensions or with values that are not finite, or an unknown model.
    """
    return register_pairs([(infrared, visible)], model, search)


def register_pairs(
    pairs: Sequence[Pair], model: str = "similarity", search: SearchRange | None = None, progress: bool = False
) -> Registration:
    """Find one transform for several pairs of cameras that are fixed to each other.

    Each pair is registered alone. The largest group of pairs that say the same (`SAME`) is taken, and one transform is
    fitted to all of them. It is trusted where at least half of the pairs are in the group, and it holds a pair that is
    trusted alone or three pairs. Scenes at different distances make it fit best for what lies between.

    Args:
        pairs: infrared and visible as for `register`, all of the same two sizes.
        model, search: as for `register`.
        progress: show a progress bar.

    Raises:
        RegistrationRefusedError, ValueError: as `register`.
    """
    if model not in MODELS:
        raise ValueError(f"There is no model {model!r}; there are {', '.join(MODELS)}.")
    if not pairs:
        raise ValueError("No pair was given; at least one is needed.")
    require_opencv()
    from .estimation import correlation, estimate, exact, largest_group, support

    greys = [(grey_values(infrared, "infrared"), grey_values(visible, "visible")) for infrared, visible in pairs]
    sizes = {(infrared.shape[::-1], visible.shape[::-1]) for infrared, visible in greys}
    if len(sizes) > 1:
        raise ValueError(
            f"The pairs have different sizes, (infrared, photo): {sorted(sizes)}. Give pairs of one camera, taken with "
            "the same settings."
        )
    (size, photo_size), search = sizes.pop(), search or SearchRange()
    estimates = [estimate(*pair, model, search) for pair in tqdm(greys, unit="pair", disable=not progress)]
    found = {index: transform for index, transform in enumerate(estimates) if transform is not None}
    if not found:
        raise RegistrationRefusedError("No place of infrared in the photo was found.", advice=HELP)
    alone = {index: support(*greys[index], transform) for index, transform in found.items()}
    scores = {index: score for index, (score, _) in alone.items()}
    used = largest_group(found, scores, size, SAME * max(photo_size))
    best = max(used, key=lambda index: scores[index])
    transform, pairs_used = found[best], [greys[index] for index in used]
    if len(used) > 1:
        transform = exact(pairs_used, transform, model)
    score, evidence = np.mean([support(*pair, transform) for pair in pairs_used], axis=0).tolist()
    confirmed = len(used) >= 3 or any(scores[index] >= TRUSTED and alone[index][1] >= EVIDENCE for index in used)
    trusted = confirmed and 2 * len(used) >= len(pairs)
    rig = as_rig(size, photo_size, transform, model, score, len(used))
    registration = Registration(rig, trusted, tuple(used), correlation(pairs_used, transform), evidence)
    if not trusted:
        raise RegistrationRefusedError(refusal(registration, len(pairs)), registration, HELP)
    return registration


def require_opencv() -> None:
    """Raise an `OSError` where what registration computes with is not installed."""
    if any(importlib.util.find_spec(name) is None for name in ("cv2", "scipy")):
        raise OSError(NEEDS_OPENCV)


def refusal(registration: Registration, count: int) -> str:
    """Why the best transform is not trusted."""
    score, evidence = registration.rig.score, registration.evidence
    if count == 1:
        return (
            f"The registration is not trusted: its score is {score:.2f}, and {TRUSTED:.2f} is needed; its evidence is "
            f"{evidence:.0f}, and {EVIDENCE:.0f} is needed."
        )
    return (
        f"The registration is not trusted: {len(registration.used)} of {count} pairs agree with each other, at a score "
        f"of {score:.2f}. Half of the pairs are needed, at least three of them or one that alone has a score of "
        f"{TRUSTED:.2f} and an evidence of {EVIDENCE:.0f}."
    )


def as_rig(
    size: tuple[int, int], photo_size: tuple[int, int], transform: np.ndarray, model: str, score: float, pairs: int
) -> Rig:
    """A rig, or a refusal where the transform is none that cameras can have."""
    try:
        return Rig(size, photo_size, transform, model, score, pairs)
    except ValueError as error:
        raise RegistrationRefusedError(f"The best transform is none of two cameras: {error}", advice=HELP) from error


def grey_values(image: np.ndarray, name: str) -> np.ndarray:
    """An image as (H, W) float32 in grey values; 8 bits as they are, all else by percentiles."""
    if image.ndim != 2 or min(image.shape) < LEAST_SIDE:
        raise ValueError(f"The {name} image has shape {image.shape}; (H, W) of at least {LEAST_SIDE} is needed.")
    if max(image.shape) > MOST_ELONGATED * min(image.shape):
        raise ValueError(
            f"The {name} image has {image.shape[1]}×{image.shape[0]} pixels; one side may be {MOST_ELONGATED} times as "
            "long as the other at most."
        )
    values = image.astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError(f"The {name} image has values that are not finite.")
    if values.min() == values.max():
        raise RegistrationRefusedError(f"The {name} image is one even grey: it shows nothing that could be registered.")
    if image.dtype == np.uint8:
        return values
    low, high = np.percentile(values, PERCENTILES)
    low, high = (low, high) if low < high else (values.min(), values.max())
    return (255 * ((values - low) / (high - low)).clip(0, 1)).astype(np.float32)
