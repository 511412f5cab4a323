from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from maefuse_hf.video.frames import Frame
from maefuse_hf.video.live import LiveReport, fuse_live
from maefuse_hf.video.pairing import NO_INFRARED


class Source:
    """A source of frames that are there already: (seconds, number of frames so far)."""

    def __init__(self, *news, problem=""):
        self.news = [(Frame(seconds, np.full((2, 2, 3), number, np.uint8)), number) for seconds, number in news]
        self.problem = problem

    def after(self, known):
        return next(((frame, number) for frame, number in self.news if number > known), None)

    def newest(self):
        return self.news[0][0] if len(self.news) == 1 else self.news.pop(0)[0] if self.news else None


class Fuser:
    """Notes what it is given."""

    def __init__(self):
        self.pairs = []

    def fuse(self, pairs):
        self.pairs += pairs
        return [SimpleNamespace(pair=pair, image=Image.new("RGB", (2, 2)), notes=pair.notes) for pair in pairs]


def run(infrared, visible, longest=None):
    fuser, report = Fuser(), LiveReport()
    frames = list(fuse_live(infrared, visible, fuser, report, longest))
    assert [frame.pair for frame in frames] == fuser.pairs
    return fuser.pairs, report


def test_frames_that_there_is_no_time_for_are_dropped():
    # the first frame is the third that came; then the fourth, and the eighth
    pairs, report = run(Source((10.0, 1)), Source((10.0, 3), (10.1, 4), (10.5, 8)))
    assert [pair.visible[0, 0, 0] for pair in pairs] == [3, 4, 8]
    assert [pair.seconds for pair in pairs] == pytest.approx([0, 0.1, 0.5])
    assert (report.fused, report.dropped, report.problem) == (3, 3, "")
    assert report.rate == pytest.approx(4)


def test_infrared_of_long_ago_is_not_shown():
    pairs, _ = run(Source((10.0, 1)), Source((10.9, 1), (11.1, 2)))
    assert pairs[0].infrared is not None and pairs[0].notes == ()
    assert pairs[1].infrared is None and pairs[1].notes == (NO_INFRARED,)


def test_the_end_and_who_is_to_blame():
    pairs, report = run(Source((0.0, 1)), Source((0.0, 1), (1.0, 2), (2.5, 3)), longest=2)
    assert len(pairs) == 2
    _, report = run(Source((0.0, 1), problem="1 is unplugged."), Source((0.0, 1)))
    assert report.problem == "1 is unplugged."
    pairs, report = run(Source(problem="1 is silent."), Source((0.0, 1)))
    assert (pairs, report.problem, report.rate) == ([], "1 is silent.", 0)
