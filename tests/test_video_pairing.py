from dataclasses import dataclass

import numpy as np
import pytest

from maefuse_hf.video.frames import Frame, Occurrences
from maefuse_hf.video.pairing import NO_INFRARED, NearestPairs


@dataclass
class Frames:
    """A video of one-pixel frames whose value is their number."""

    name: str
    times: list[float]
    interval: float
    damaged: tuple[int, ...] = ()

    @property
    def count(self):
        return len(self.times)

    def __iter__(self):
        for number, seconds in enumerate(self.times):
            pixels = None if number in self.damaged else np.full((1, 1, 3), number, np.uint8)
            yield Frame(seconds, pixels, f"{self.name} is damaged there." if pixels is None else "")


def at(rate: float, count: int) -> list[float]:
    return [number / rate for number in range(count)]


def numbers(pairs) -> list[tuple[int, int | None]]:
    """Which visible frame got which infrared frame."""
    return [(pair.visible[0, 0, 0], None if pair.infrared is None else pair.infrared[0, 0, 0]) for pair in pairs]


def test_one_rate_pairs_frames_of_one_number():
    pairs = NearestPairs(Frames("t", at(10, 4), 0.1), Frames("v", at(10, 4), 0.1))
    assert numbers(pairs) == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert pairs.notes == []


def test_each_visible_frame_gets_the_nearest_infrared_frame_and_of_two_the_earlier():
    # infrared at 0, 0.25, 0.5; visible at 0, 0.125 (between two), 0.25, 0.375 (between two), 0.5
    pairs = NearestPairs(Frames("t", at(4, 3), 0.25), Frames("v", at(8, 5), 0.125))
    assert numbers(pairs) == [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2)]
    # and the other way round infrared frames are passed over
    assert numbers(NearestPairs(Frames("t", at(8, 5), 0.125), Frames("v", at(4, 3), 0.25))) == [(0, 0), (1, 2), (2, 4)]


def test_an_offset_moves_infrared_and_what_is_not_shared_is_left_out_and_told():
    # infrared's frames lie at 0.5, 0.75, 1, 1.25 of the visible video, and count for a quarter of a second around
    infrared, visible = Frames("t", at(4, 4), 0.25), Frames("v", at(8, 16), 0.125)
    pairs = NearestPairs(infrared, visible, offset=0.5)
    assert numbers(pairs) == [(2, 0), (3, 0), (4, 0), (5, 0), (6, 1), (7, 1), (8, 2), (9, 2), (10, 3), (11, 3), (12, 3)]
    assert pairs.notes == [
        "v: 2 frames before infrared begins at 0.50 s were left out.",
        "v: what comes from 1.62 s on, after infrared ends, was left out.",
    ]
    pairs = NearestPairs(infrared, Frames("v", at(4, 2), 0.25), offset=-0.5)
    assert numbers(pairs) == [(0, 2), (1, 3)]
    assert pairs.notes == ["t: the 0.50 s before v begins were left out."]
    pairs = NearestPairs(infrared, Frames("v", at(4, 2), 0.25))
    assert numbers(pairs) == [(0, 0), (1, 1)]
    assert pairs.notes == ["t: what comes after v ends was left out."]


def test_videos_that_share_no_time():
    pairs = NearestPairs(Frames("t", at(4, 4), 0.25), Frames("v", at(4, 4), 0.25), offset=9)
    assert numbers(pairs) == []
    assert pairs.notes == [
        "v: 4 frames before infrared begins at 9.00 s were left out.",
        "t: what comes after v ends was left out.",
    ]
    with pytest.raises(ValueError, match="t: there is no frame in it"):
        numbers(NearestPairs(Frames("t", [], 0.25), Frames("v", at(4, 4), 0.25)))


def test_of_a_damaged_frame_the_last_good_one_is_used_and_reported():
    infrared, visible = Frames("t", at(4, 4), 0.25, damaged=(2,)), Frames("v", at(4, 4), 0.25, damaged=(1,))
    pairs = list(NearestPairs(infrared, visible))
    assert numbers(pairs) == [(0, 0), (0, 1), (2, 1), (3, 3)]
    used = "is damaged there. The last frame that could be read was used."
    assert [pair.notes for pair in pairs] == [(), (f"v {used}",), (f"t {used}",), ()]
    assert [pair.seconds for pair in pairs] == [0, 0.25, 0.5, 0.75]


def test_where_infrared_is_damaged_from_the_beginning_the_visible_image_is_used():
    pairs = list(NearestPairs(Frames("t", at(4, 3), 0.25, damaged=(0, 1)), Frames("v", at(4, 3), 0.25)))
    assert numbers(pairs) == [(0, None), (1, None), (2, 2)]
    assert pairs[0].notes == ("t is damaged there.", NO_INFRARED)


def test_an_infrared_frame_of_long_ago_is_not_shown():
    pairs = list(NearestPairs(Frames("t", [0, 4], 0.25), Frames("v", at(2, 9), 0.5)))
    assert numbers(pairs) == [(0, 0), (1, 0), (2, 0), (3, None), (4, None), (5, None), (6, 1), (7, 1), (8, 1)]
    assert pairs[3].notes == (NO_INFRARED,)


def test_a_video_that_begins_with_damaged_visible_frames():
    pairs = NearestPairs(Frames("t", at(4, 3), 0.25), Frames("v", at(4, 3), 0.25, damaged=(0,)))
    assert numbers(pairs) == [(1, 1), (2, 2)]
    assert pairs.notes == ["0.00 s: v is damaged there. Nothing was written for it."]


def test_frames_are_read_as_they_are_needed():
    read = []

    class Counted(Frames):
        def __iter__(self):
            for frame in super().__iter__():
                read.append(self.name)
                yield frame

    pairs = iter(NearestPairs(Counted("t", at(4, 100), 0.25), Counted("v", at(4, 100), 0.25)))
    for _ in range(3):
        next(pairs)
    assert read.count("v") == 3 and read.count("t") == 4


def test_occurrences_are_told_in_spans():
    told = Occurrences()
    for index in (0, 3, 4, 5, 9):
        told.add("closed", index / 10, index)
    told.add("damaged", 0.4, 4)
    assert told.lines() == ["0.00 s, 0.30 to 0.50 s (3 frames), 0.90 s: closed", "0.40 s: damaged"]
    for index in range(20, 40, 2):
        told.add("closed", index / 10, index)
    assert told.lines()[0] == (
        "0.00 s, 0.30 to 0.50 s (3 frames), 0.90 s, 2.00 s, 2.20 s and 8 times more (8 frames): closed"
    )
