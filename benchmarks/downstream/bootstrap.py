"""How sure a figure over images is, and whether two systems differ: the same images drawn again for all systems."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

RESAMPLES = 1000
SEED = 0
CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A figure with its interval."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """For a difference: whether it is real at this confidence."""
        return self.low > 0 or self.high < 0


Figure = Callable[[np.ndarray], float]
"""From how often each image counts, `(images,)` float, to a figure of one system."""


def resamplings(images: int, resamples: int = RESAMPLES) -> Iterator[np.ndarray]:
    """How often each image is drawn, `(images,)`, when as many as there are are drawn with putting back."""
    random = np.random.default_rng(SEED)
    for _ in range(resamples):
        yield np.bincount(random.integers(images, size=images), minlength=images).astype(np.float64)


def intervals(
    figures: Mapping[str, Figure], images: int, reference: str, resamples: int = RESAMPLES
) -> tuple[dict[str, Interval], dict[str, Interval]]:
    """Percentile intervals of each system's figure, and of each one's difference to a reference system.

    Resamplings in which a figure is NaN (no object of its kind was drawn) are left out.

    Args:
        figures: of each system, see `Figure`.
        images: how many there are.
        reference: a system among them.
        resamples: how many times images are drawn.
    """
    every = np.ones(images)
    values = {name: figure(every) for name, figure in figures.items()}
    drawn = list(resamplings(images, resamples))
    samples = {name: np.array([figure(times) for times in drawn]) for name, figure in figures.items()}
    differences = {name: (values[name] - values[reference], own - samples[reference]) for name, own in samples.items()}
    return (
        {name: interval(values[name], own) for name, own in samples.items()},
        {name: interval(value, own) for name, (value, own) in differences.items() if name != reference},
    )


def interval(value: float, samples: np.ndarray) -> Interval:
    """The middle share `CONFIDENCE` of the samples."""
    outside = (1 - CONFIDENCE) / 2
    known = samples[~np.isnan(samples)]
    low, high = np.quantile(known, [outside, 1 - outside]) if len(known) else (np.nan, np.nan)
    return Interval(value, float(low), float(high))
