import re
import socket
import threading
import time
import urllib.request

import numpy as np
import pytest
from conftest import small_model
from videos import read_video, write_video

from maefuse_hf import MaeFuseImageProcessor
from maefuse_hf.cli import main
from maefuse_hf.example_scene.scene import render_example_pair
from maefuse_hf.video.frame_fusion import FrameFuser
from maefuse_hf.video.live_source import LiveSource

INFRARED, VISIBLE = (np.asarray(image.convert("RGB")) for image in render_example_pair(64, 80))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    small_model().save_pretrained(folder)
    MaeFuseImageProcessor(size_divisor=8).save_pretrained(folder)
    return folder


@pytest.fixture
def films(tmp_path):
    """A second of each, infrared with 10 frames and visible with 20."""
    write_video(tmp_path / "thermal.mp4", [INFRARED] * 10, rate=10)
    write_video(tmp_path / "photo.mp4", [VISIBLE] * 20, rate=20)
    return tmp_path


def live(folder, *arguments, checkpoint, infrared="thermal.mp4"):
    sources = "--infrared", folder / infrared, "--visible", folder / "photo.mp4"
    return main(["live", *map(str, (*sources, *arguments)), "--model", str(checkpoint), "--device", "cpu"])


def test_two_files_that_are_played_in_real_time(films, checkpoint, capsys):
    begun = time.monotonic()
    assert live(films, "-o", films / "out" / "fused.mp4", checkpoint=checkpoint) == 0
    out = capsys.readouterr().out
    fused, dropped = map(int, re.search(r"(\d+) frames fused, .* a second, (\d+) dropped", out).groups())
    assert 1 <= fused <= 20 and fused + dropped <= 20
    frames = read_video(films / "out" / "fused.mp4")
    assert len(frames) == fused and frames[0][1].shape == VISIBLE.shape
    # shown when it was seen: no later than the run took, however slow the machine is
    assert frames[-1][0] <= time.monotonic() - begun


def test_a_slow_model_drops_frames(films, checkpoint, capsys, monkeypatch):
    fuse, begin, begun = FrameFuser.fuse, LiveSource.__enter__, []

    def noted(self):
        begun.append(self)
        return begin(self)

    def slow(self, pairs):
        visible = begun[1]
        seen = visible.frames
        while not visible.ended and visible.frames < seen + 4:
            threading.Event().wait(0.01)
        return fuse(self, pairs)

    monkeypatch.setattr(LiveSource, "__enter__", noted)
    monkeypatch.setattr(FrameFuser, "fuse", slow)
    assert live(films, "-o", films / "fused.mp4", checkpoint=checkpoint) == 0
    fused, dropped = map(int, re.search(r"(\d+) frames fused, .* (\d+) dropped", capsys.readouterr().out).groups())
    assert fused + dropped <= 20 and dropped >= 2
    assert len(read_video(films / "fused.mp4")) == fused


def test_the_page(films, checkpoint, capsys, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    seen, looking, begin = [], threading.Event(), LiveSource.__enter__

    def look():
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/stream", timeout=60) as stream:
                    looking.set()
                    seen.append(stream.read(200))
                return
            except OSError:
                threading.Event().wait(0.05)

    def begin_when_seen(self):
        # a film of a second would be over before a slow viewer has come
        assert looking.wait(60)
        return begin(self)

    monkeypatch.setattr(LiveSource, "__enter__", begin_when_seen)
    viewer = threading.Thread(target=look, daemon=True)
    viewer.start()
    assert live(films, "--http", port, checkpoint=checkpoint) == 0
    viewer.join()
    assert f"Look at http://127.0.0.1:{port}. Ctrl-C ends." in capsys.readouterr().out
    assert b"Content-Type: image/jpeg" in seen[0] and b"\xff\xd8" in seen[0]


def test_ctrl_c_is_the_usual_end(films, checkpoint, capsys, monkeypatch):
    fuse, done = FrameFuser.fuse, []

    def stop(self, pairs):
        done.append(pairs)
        if len(done) == 3:
            raise KeyboardInterrupt
        return fuse(self, pairs)

    monkeypatch.setattr(FrameFuser, "fuse", stop)
    # longer than a slow machine needs for three frames
    write_video(films / "photo.mp4", [VISIBLE] * 200, rate=20)
    write_video(films / "thermal.mp4", [INFRARED] * 100, rate=10)
    assert live(films, "-o", films / "fused.mp4", checkpoint=checkpoint) == 0
    assert capsys.readouterr().out.startswith("2 frames fused")
    assert len(read_video(films / "fused.mp4")) == 2


def test_a_stream_that_breaks_keeps_what_was_written(films, checkpoint, capsys):
    """A file that is cut off stands for a camera that is unplugged."""
    read = LiveSource.read

    def breaking(self):
        self.is_file = False
        read(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LiveSource, "read", breaking)
        status = live(films, "-o", films / "fused.mp4", checkpoint=checkpoint)
    printed = capsys.readouterr()
    assert status == 1
    assert "gives no more frames. Is it unplugged?" in printed.err
    assert f"They are in {films / 'fused.mp4'}." in printed.out
    assert len(read_video(films / "fused.mp4")) >= 1


@pytest.mark.parametrize(
    ("arguments", "infrared", "message"),
    [
        (["-o", "out.gif"], "thermal.mp4", "has no video suffix that can be written"),
        ([], "none.mp4", "there is no such file, and this is no camera's number"),
        (["--rig", "none.json"], "thermal.mp4", "none.json: there is no such file"),
        (["--http", "99999"], "thermal.mp4", "Port 99999 cannot be used"),
    ],
)
def test_what_cannot_work_is_said(films, checkpoint, capsys, arguments, infrared, message):
    assert live(films, *arguments, checkpoint=checkpoint, infrared=infrared) == 1
    assert message in capsys.readouterr().err
