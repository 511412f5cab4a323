"""Average precision of detections against boxes, of which some may be ignored."""

from typing import NamedTuple

import numpy as np

from .boxes import Truth

LEAST_OVERLAP = 0.4
"""Intersection over union from which on a detection is one of the object."""

LEAST_WITHIN = 0.5
"""Share of a detection that lies within an ignored box from which on the detection is ignored too."""


class Matches(NamedTuple):
    """What became of the detections of one kind in one image: their scores `(N,)` and whether each found an object
    `(N,)` bool, ignored ones left out; and how many objects there are to find."""

    scores: np.ndarray
    found: np.ndarray
    objects: int


def overlaps(boxes: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Intersection over union, and intersection over the first ones' area: `(N, 4)`, `(M, 4)` → `(N, M)` each."""
    boxes, others = boxes.astype(np.float64), others.astype(np.float64)
    top_left = np.maximum(boxes[:, None, :2], others[None, :, :2])
    bottom_right = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = (bottom_right - top_left).clip(min=0).prod(axis=2)
    areas, other_areas = ((box[:, 2:] - box[:, :2]).prod(axis=1) for box in (boxes, others))
    return (
        share(shared, areas[:, None] + other_areas[None] - shared),
        share(shared, np.broadcast_to(areas[:, None], shared.shape)),
    )


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Part over whole, 0 where there is no whole: boxes without area."""
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)


def match(scores: np.ndarray, boxes: np.ndarray, truth: Truth) -> Matches:
    """Give each detection, the surest first, the free object that it overlaps most.

    A detection without one that lies on an ignored box is left out, any other is a false one.

    Args:
        scores: `(N,)`, higher is surer.
        boxes: `(N, 4)`, left, top, right, bottom.
        truth: the objects.
    """
    order = np.argsort(-scores, kind="stable")
    union, within = overlaps(boxes[order], truth.boxes)
    free = ~truth.ignored
    kept, found = [], []
    for place in range(len(order)):
        candidates = np.where(free, union[place], 0)
        best = candidates.argmax() if len(candidates) else 0
        hit = len(candidates) > 0 and candidates[best] >= LEAST_OVERLAP
        if hit:
            free[best] = False
        on_ignored = (union[place] >= LEAST_OVERLAP) | (within[place] >= LEAST_WITHIN)
        if hit or not (truth.ignored & on_ignored).any():
            kept.append(order[place])
            found.append(hit)
    return Matches(scores[np.array(kept, dtype=int)], np.array(found, dtype=bool), int((~truth.ignored).sum()))


class PrecisionCurve:
    """The detections of one kind in all images, sorted once, so that AP of any resampling of the images is quick."""

    def __init__(self, matches: list[Matches]) -> None:
        scores = np.concatenate([image.scores for image in matches])
        order = np.argsort(-scores, kind="stable")
        self._found = np.concatenate([image.found for image in matches])[order]
        self._image = np.repeat(np.arange(len(matches)), [len(image.scores) for image in matches])[order]
        self._objects = np.array([image.objects for image in matches])

    def average_precision(self, times: np.ndarray | None = None) -> float:
        """Area under precision over recall, precision made monotone from the right (PASCAL VOC 2010).

        Args:
            times: how often each image counts, `(images,)`; once by default.

        Returns:
            AP in 0…1; NaN without an object.
        """
        times = np.ones(len(self._objects)) if times is None else times
        objects = (times * self._objects).sum()
        if objects == 0:
            return float("nan")
        weight = times[self._image]
        true, all_detections = np.cumsum(weight * self._found), np.cumsum(weight)
        # where nothing has been counted yet, nothing is wrong
        precision = np.divide(true, all_detections, out=np.ones_like(true), where=all_detections > 0)
        precision = np.maximum.accumulate(precision[::-1])[::-1]
        return float((weight * self._found * precision).sum() / objects)
