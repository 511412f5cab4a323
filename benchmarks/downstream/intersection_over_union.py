"""Mean intersection over union, from confusion counts of single images."""

import numpy as np

CLASSES = ("nothing", "car", "person", "bike", "curve", "car stop", "guardrail", "colour cone", "bump")
"""Of the label images of MSRS, by level."""


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int = len(CLASSES)) -> np.ndarray:
    """How many pixels of each class (rows) were taken for each (columns).

    Args:
        labels, predicted: whole numbers in 0…classes−1 of one shape.

    Returns:
        `(classes, classes)` int64.
    """
    codes = labels.astype(np.int64).ravel() * classes + predicted.astype(np.int64).ravel()
    return np.bincount(codes, minlength=classes**2).reshape(classes, classes)


def class_ious(counts: np.ndarray) -> np.ndarray:
    """IoU of each class: `n_cc / (Σ_j n_cj + Σ_j n_jc − n_cc)`; NaN for one that is neither there nor predicted.

    Args:
        counts: `(…, classes, classes)`, summed over images.

    Returns:
        `(…, classes)` float64 in 0…1.
    """
    right = np.diagonal(counts, axis1=-2, axis2=-1).astype(np.float64)
    union = counts.sum(axis=-1) + counts.sum(axis=-2) - right
    return np.divide(right, union, out=np.full_like(right, np.nan), where=union > 0)


def mean_iou(counts: np.ndarray) -> float:
    """Mean of the classes' IoU, see `class_ious`; those without one are left out."""
    return float(np.nanmean(class_ious(counts)))
