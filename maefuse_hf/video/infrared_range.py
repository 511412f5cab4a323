# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Which values of deep infrared become black and white, held steady over time."""

import math

import numpy as np

Limits = tuple[float, float]


class RangeSmoother:
    """Two percentiles of each frame, averaged over time with exponential weights.

    A hot object that enters would darken everything else at once, if each frame were scaled by its own percentiles.
    Here the object is white, and the rest keeps its grey for as long as the object does not stay.

    Where half of a frame leaves the range, the camera has changed its own (high and low gain): the range starts anew.

    Args:
        seconds: time constant T; a frame that comes d seconds after the last counts 1 - exp(-d / T). 0: each frame has
            its own range.
        percentiles: of a frame's pixels, in %.
    """

    def __init__(self, seconds: float, percentiles: Limits) -> None:
        self.seconds, self.percentiles = seconds, percentiles
        self.limits: Limits | None = None

    def held(self, values: np.ndarray) -> Limits | None:
        """The range of the frames before, where it is one for these values too: their median lies in it."""
        if self.limits is None or not self.limits[0] <= np.median(values) <= self.limits[1]:
            return None
        return self.limits

    def update(self, values: np.ndarray, passed: float) -> Limits:
        """The values that become black and white in this frame.

        Args:
            values: (h, w), finite; not all the same.
            passed: seconds since the last frame.

        Returns:
            (low, high), low < high.
        """
        low, high = (float(value) for value in np.percentile(values, self.percentiles))
        if low >= high:
            low, high = float(values.min()), float(values.max())
        if held := self.held(values):
            weight = share(passed, self.seconds)
            low, high = (before + weight * (now - before) for before, now in zip(held, (low, high)))
        self.limits = low, high
        return self.limits


def share(passed: float, seconds: float) -> float:
    """How much a frame counts in an exponential average of that time constant; 1 where it is 0."""
    return 1.0 if seconds <= 0 else 1 - math.exp(-max(passed, 0.0) / seconds)
