# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Which infrared frame belongs to a visible one: the nearest in time."""

from collections.abc import Iterator

from .frames import FramePair, FrameSource, Held

LONGEST_GAP = 1.0
"""Seconds after which an infrared frame is too old to be shown: it would show people where they no longer are."""

NO_INFRARED = "no infrared frame is near in time; the visible image was written as it is."


class NearestPairs:
    """Each visible frame with the infrared frame nearest in time, of two the earlier; few frames are held at a time.

    A visible frame further than one infrared interval before the first infrared frame, or after the last, is not
    shared and is left out.

    Args:
        infrared, visible: the videos.
        offset: seconds by which infrared started later than visible.

    Attributes:
        interval: seconds from one pair to the next.
        notes: after iteration, what was left out, a sentence each.
    """

    def __init__(self, infrared: FrameSource, visible: FrameSource, offset: float = 0.0) -> None:
        self.infrared, self.visible, self.offset = infrared, visible, offset
        self.interval = visible.interval
        self.notes: list[str] = []

    @property
    def count(self) -> int | None:
        """How many pairs there are at most, as far as the visible video says."""
        return self.visible.count

    def __iter__(self) -> Iterator[FramePair]:
        frames = iter(self.infrared)
        nearest, following = next(frames, None), next(frames, None)
        if nearest is None:
            raise ValueError(f"{self.infrared.name}: there is no frame in it.")
        first = nearest.seconds + self.offset
        held_infrared, held_visible = Held(), Held()
        held_infrared.take(nearest)
        longest_gap = max(LONGEST_GAP, 2 * self.infrared.interval)
        early = 0
        begun = ended = None
        for index, frame in enumerate(self.visible):
            begun = frame.seconds if begun is None else begun
            if frame.seconds < first - self.infrared.interval:
                early += 1
                continue
            now = frame.seconds - self.offset
            while following is not None and following.seconds - now < abs(now - nearest.seconds):
                nearest, following = following, next(frames, None)
                held_infrared.take(nearest)
            if following is None and now > nearest.seconds + self.infrared.interval:
                ended = frame.seconds
                break
            held_visible.take(frame)
            if held_visible.pixels is None:
                self.notes.append(f"{frame.seconds:.2f} s: {frame.problem} Nothing was written for it.")
                continue
            infrared, notes = held_infrared.at(now, longest_gap), (*held_visible.notes, *held_infrared.notes)
            if infrared is None:
                notes = (*notes, NO_INFRARED)
            yield FramePair(name_of(index), frame.seconds, infrared, held_visible.pixels, notes)
        self.notes += self.left_out(early, first, begun, ended, following is not None)

    def later(self, name: str, places: int) -> str:
        """The name of the pair that comes so many places later, if the video goes on that long."""
        return name_of(int(name) + places)

    def left_out(
        self, early: int, first: float, begun: float | None, ended: float | None, infrared_goes_on: bool
    ) -> Iterator[str]:
        """What of either video has no part in the other."""
        infrared, visible = self.infrared.name, self.visible.name
        if early:
            yield f"{visible}: {early} frames before infrared begins at {first:.2f} s were left out."
        if begun is not None and begun > first + self.infrared.interval:
            yield f"{infrared}: the {begun - first:.2f} s before {visible} begins were left out."
        if ended is not None:
            yield f"{visible}: what comes from {ended:.2f} s on, after infrared ends, was left out."
        elif infrared_goes_on:
            yield f"{infrared}: what comes after {visible} ends was left out."


def name_of(index: int) -> str:
    """The name of a visible video's frame."""
    return f"{index:06d}"
