import time

import numpy as np
import pytest
from videos import grey_frames, write_video

from maefuse_hf.video import live_source
from maefuse_hf.video.live_source import LiveSource


@pytest.fixture
def film(tmp_path):
    """Ten frames a second, half a second long."""
    return str(write_video(tmp_path / "film.mp4", grey_frames(20, 60, 100, 140, 180)))


def level(frame) -> int:
    return round(frame.pixels.mean() / 40 - 0.5)


def test_a_file_is_played_in_real_time(film):
    begun = time.monotonic()
    with LiveSource(film) as source:
        seen, known = [], 0
        while (news := source.after(known)) is not None:
            frame, known = news
            seen.append(level(frame))
    assert time.monotonic() - begun >= 0.4
    assert seen == sorted(set(seen)) and seen[-1] == 4 and source.frames == 5
    assert source.ended and source.problem == ""


def test_only_the_last_frame_is_kept(film):
    with LiveSource(film) as source:
        source.thread.join()
        frame, number = source.after(0)
        assert (level(frame), number) == (4, 5)
        assert source.after(number) is None and source.newest() is None


def test_a_file_that_is_damaged_goes_on(tmp_path):
    path = write_video(tmp_path / "film.mp4", grey_frames(20, 60, 100), damaged=(1,))
    with LiveSource(str(path)) as source:
        source.thread.join()
    assert (source.frames, source.damaged) == (2, 1)


class Camera:
    """What `VideoFile` is for a camera: frames, and then what happens to it."""

    def __init__(self, then):
        self.then = then
        self.container = self

    def __iter__(self):
        from maefuse_hf.video.frames import Frame

        yield Frame(0.0, np.zeros((4, 4, 3), np.uint8))
        yield from self.then()

    def close(self):
        pass


def unplugged():
    raise OSError("0: reading ended after 0.00 s (No such device).")
    yield


def silent():
    time.sleep(0.3)
    yield from ()


@pytest.mark.parametrize(
    ("then", "problem"),
    [
        (unplugged, "0: reading ended after 0.00 s (No such device)."),
        (lambda: iter(()), "0 gives no more frames. Is it unplugged?"),
        (silent, "0 has sent no frame for 0.05 s. Is it unplugged?"),
    ],
)
def test_a_camera_that_is_unplugged_is_told(monkeypatch, then, problem):
    monkeypatch.setattr(live_source, "opened", lambda *_: Camera(then))
    monkeypatch.setattr(live_source, "SILENCE", 0.05)
    with LiveSource("0") as source:
        assert source.after(0)[1] == 1
        assert source.after(1) is None
        assert source.problem == problem
        time.sleep(0.06)
        assert source.newest() is None and source.problem


def test_what_is_no_source(tmp_path, monkeypatch):
    with pytest.raises(OSError, match=r"nothing.mp4: there is no such file, and this is no camera's number"):
        LiveSource("nothing.mp4")
    monkeypatch.setattr(live_source.sys, "platform", "linux")
    with pytest.raises(OSError, match=r"/dev/video987: cannot be read as a video"):
        LiveSource("987")
