"""Means over seeds with intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class OverSeeds:
    """A mean over seeds, and the interval of Student's t; NaN of one seed."""

    mean: float
    low: float
    high: float

    @property
    def real(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        interval = "" if math.isnan(self.low) else f" [{self.low:.4f}, {self.high:.4f}]"
        return f"{self.mean:.4f}{interval}"


def over_seeds(values: Sequence[float]) -> OverSeeds:
    """The mean of one value for each seed, and its interval (Student's t, 95 %)."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return OverSeeds(mean, math.nan, math.nan)
    reach = stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * stats.sem(values)
    return OverSeeds(mean, mean - float(reach), mean + float(reach))
