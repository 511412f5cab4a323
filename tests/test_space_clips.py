from pathlib import Path

import clips
import numpy as np
import pytest
from clips import fuse_clip
from conftest import small_model
from fusing import DemoFusion
from videos import read_video, sound_of, write_video

from maefuse_hf import MaeFuseImageProcessor
from maefuse_hf.example_scene.scene import render_example_pair

INFRARED, VISIBLE = (np.asarray(image.convert("RGB")) for image in render_example_pair(64, 80))


@pytest.fixture(scope="module")
def fuser():
    return DemoFusion(small_model(), MaeFuseImageProcessor(size_divisor=8))


@pytest.fixture
def uploads(tmp_path):
    write_video(tmp_path / "thermal.mp4", [np.ascontiguousarray(INFRARED[::2, ::2])] * 5, rate=5)
    write_video(tmp_path / "photo.mp4", [VISIBLE] * 10, rate=10, sound=1.0)
    return str(tmp_path / "thermal.mp4"), str(tmp_path / "photo.mp4")


def test_a_clip_has_the_photo_s_sound_and_the_frames_are_counted(fuser, uploads, tmp_path):
    done = []
    assert fuse_clip(fuser, *uploads, 0, tmp_path / "fused.mp4", done.append) == []
    frames = read_video(tmp_path / "fused.mp4")
    assert len(frames) == sum(done) == 10 and frames[0][1].shape == (64, 80, 3)
    assert len(sound_of(tmp_path / "fused.mp4")) > 0


def test_the_bounds(fuser, uploads, tmp_path, monkeypatch):
    monkeypatch.setattr(clips, "MOST_FRAMES", 3)
    monkeypatch.setattr(clips, "SHORTEST_EDGE", 32)
    said = fuse_clip(fuser, *uploads, 0, tmp_path / "fused.mp4", len_of_nothing)
    frames = read_video(tmp_path / "fused.mp4")
    assert len(frames) == 3 and frames[0][1].shape == (32, 40, 3)
    assert said == ["Only the first 3 frames were fused."]
    monkeypatch.setattr(clips, "MOST_PIXELS", 1000)
    with pytest.raises(ValueError, match=r"The infrared video: frames of more than 0\.001 million pixels"):
        fuse_clip(fuser, *uploads, 0, tmp_path / "other.mp4", len_of_nothing)


def len_of_nothing(frames):
    pass


def test_what_is_left_out_is_said_without_paths(fuser, uploads, tmp_path):
    said = fuse_clip(fuser, *uploads, 0.4, tmp_path / "fused.mp4", len_of_nothing)
    assert said == [
        "The photo's video: 2 frames before infrared begins at 0.40 s were left out.",
        "The infrared video: what comes after The photo's video ends was left out.",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"infrared": None}, "The infrared video is missing"),
        ({"visible": None}, "The photo's video is missing"),
        ({"offset": "soon"}, "The offset is no number of seconds"),
        ({"offset": float("nan")}, "The offset is no number of seconds"),
        ({"offset": 99}, "10 frames before infrared begins at 99.00 s"),
        ({"infrared": "text"}, "The infrared video: cannot be read as a video"),
        ({"infrared": "playlist"}, "The infrared video: cannot be read as a video"),
    ],
)
def test_what_cannot_work_is_said_without_paths(fuser, uploads, tmp_path, change, message):
    (tmp_path / "text.mp4").write_text("no video")
    # FFmpeg would open what such a file names
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{uploads[0]}\n#EXT-X-ENDLIST\n"
    (tmp_path / "playlist.mp4").write_text(playlist)
    given = {"infrared": uploads[0], "visible": uploads[1], "offset": 0, **change}
    if given["infrared"] in ("text", "playlist"):
        given["infrared"] = str(tmp_path / f"{given['infrared']}.mp4")
    with pytest.raises((OSError, ValueError), match=message) as error:
        fuse_clip(fuser, *given.values(), tmp_path / "fused.mp4", len_of_nothing)
    assert str(tmp_path) not in str(error.value)
    assert not Path(tmp_path / "fused.mp4").exists()
