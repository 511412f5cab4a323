import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from conftest import small_model
from PIL import Image
from test_video_pairing import Frames, at
from videos import grey_frames, read_video, sound_of, write_video

from maefuse_hf import MaeFuseImageProcessor
from maefuse_hf.cli import main
from maefuse_hf.example_scene.scene import render_example_pair
from maefuse_hf.registration import Rig, save_rig
from maefuse_hf.video import video_file
from maefuse_hf.video.frame_fusion import FrameFuser
from maefuse_hf.video.fusing import VideoReport, unwritten
from maefuse_hf.video.pairing import NearestPairs
from maefuse_hf.video.writing import FrameFolder

INFRARED, VISIBLE = (np.asarray(image.convert("RGB")) for image in render_example_pair(64, 80))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    small_model().save_pretrained(folder)
    MaeFuseImageProcessor(size_divisor=8).save_pretrained(folder)
    return folder


@pytest.fixture
def videos(tmp_path):
    """Infrared of 5 frames a second and half the size, visible of 10 with sound, a second each."""
    write_video(tmp_path / "thermal.mp4", [np.ascontiguousarray(INFRARED[::2, ::2])] * 5, rate=5)
    write_video(tmp_path / "photo.mp4", [VISIBLE] * 10, rate=10, sound=1.0)
    return tmp_path


def fuse(folder, *arguments, checkpoint, infrared="thermal.mp4", visible="photo.mp4", output="fused.mp4"):
    paths = folder / infrared, folder / visible, "-o", folder / output
    return main(["video", *map(str, (*paths, *arguments)), "--model", str(checkpoint), "--device", "cpu"])


def test_the_command_fuses_two_videos_with_the_shipped_checkpoint(videos):
    command = [sys.executable, "-m", "maefuse_hf.cli", "video", "thermal.mp4", "photo.mp4", "-o", "new/fused.mp4"]
    run = subprocess.run(command, cwd=videos, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert run.stdout == "10 frames written to new/fused.mp4.\n"
    assert "10/10" in run.stderr and "maefuse:" not in run.stderr
    frames = read_video(videos / "new/fused.mp4")
    assert [seconds for seconds, _ in frames] == pytest.approx([number / 10 for number in range(10)])
    assert frames[0][1].shape == VISIBLE.shape
    # a hot person in the dark has become visible
    hot = (INFRARED[..., 0] > 200) & (VISIBLE.mean(axis=2) < 60)
    assert frames[5][1].mean(axis=2)[hot].mean() > VISIBLE.mean(axis=2)[hot].mean() + 20
    assert len(sound_of(videos / "new/fused.mp4")) >= 8000


def test_videos_of_different_length_and_start(videos, checkpoint, capsys):
    assert fuse(videos, "--offset", "0.4", checkpoint=checkpoint) == 0
    printed = capsys.readouterr()
    # infrared begins at 0.4 s and holds for its 0.2 s before, and goes on after the end of visible
    assert printed.out == f"8 frames written to {videos / 'fused.mp4'}.\n"
    assert "photo.mp4: 2 frames before infrared begins at 0.40 s were left out." in printed.err
    assert "thermal.mp4: what comes after" in printed.err
    assert len(read_video(videos / "fused.mp4")) == 8


def test_what_is_damaged_is_told_and_the_rest_done(videos, checkpoint, capsys):
    write_video(videos / "thermal.mp4", [INFRARED] * 5, rate=5, damaged=(2,))
    write_video(videos / "photo.mp4", [VISIBLE] * 10, rate=10, damaged=(7,))
    assert fuse(videos, checkpoint=checkpoint) == 1
    errors = capsys.readouterr().err
    used = "is damaged there. The last frame that could be read was used."
    assert f"0.40 to 0.50 s (2 frames): {videos / 'thermal.mp4'} {used}" in errors
    assert f"0.70 s: {videos / 'photo.mp4'} {used}" in errors
    assert len(read_video(videos / "fused.mp4")) == 10


def test_a_closed_shutter_is_told_and_is_no_error(videos, checkpoint, capsys):
    closed = grey_frames(77, height=64, width=80)
    write_video(videos / "thermal.mp4", [INFRARED, *closed, *closed, INFRARED], rate=5)
    assert fuse(videos, checkpoint=checkpoint) == 0
    assert "0.20 to 0.50 s (4 frames): infrared shows nothing" in capsys.readouterr().err
    frames = [pixels.astype(int) for _, pixels in read_video(videos / "fused.mp4")]
    assert np.abs(frames[4] - VISIBLE).mean() < 6 < np.abs(frames[0] - VISIBLE).mean()


def end_after_four(patch, error):
    """Let the fifth batch of frames raise an error."""
    fuse_batch, done = FrameFuser.fuse, []

    def fail(self, pairs):
        done.append(pairs)
        if len(done) > 4:
            raise error
        return fuse_batch(self, pairs)

    patch.setattr(FrameFuser, "fuse", fail)


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [(KeyboardInterrupt, 130, "stopped."), (OSError("the disk is full."), 1, "the disk is full.")],
)
def test_what_ends_the_work_keeps_what_was_done(videos, checkpoint, capsys, monkeypatch, error, status, message):
    end_after_four(monkeypatch, error)
    assert fuse(videos, checkpoint=checkpoint) == status
    printed = capsys.readouterr()
    assert f"maefuse: {message} What was fused until then is kept." in printed.err
    assert printed.out == f"4 frames written to {videos / 'fused.mp4'}.\n"
    assert len(read_video(videos / "fused.mp4")) == 4
    assert {path.name for path in videos.iterdir()} == {"thermal.mp4", "photo.mp4", "fused.mp4"}


KILLED = """
import sys, time
from maefuse_hf.cli import main
from maefuse_hf.video.frame_fusion import FrameFuser

fuse = FrameFuser.fuse

def announced(self, pairs):
    print(pairs[0].name, flush=True)
    if pairs[0].name == "000040":
        time.sleep(600)
    return fuse(self, pairs)

FrameFuser.fuse = announced
main(sys.argv[1:])
"""


def test_a_killed_run_leaves_a_video_that_can_be_played(videos, checkpoint, capsys):
    write_video(videos / "photo.mp4", [VISIBLE] * 50, rate=50)
    command = [sys.executable, "-c", KILLED, "video", "thermal.mp4", "photo.mp4", "-o", "fused.mp4"]
    command += ["--model", str(checkpoint), "--device", "cpu"]
    with subprocess.Popen(command, cwd=videos, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as run:
        assert any(line == "000040\n" for line in run.stdout)
        run.kill()
    left = videos / ".fused.partial.mp4"
    # 40 were written, of which the encoder holds the last ones back
    assert [seconds for seconds, _ in read_video(left)][:20] == [number / 50 for number in range(20)]
    before = left.read_bytes()
    assert fuse(videos, checkpoint=checkpoint) == 0
    assert f"is kept as {videos / 'fused.killed.mp4'}." in capsys.readouterr().err
    assert (videos / "fused.killed.mp4").read_bytes() == before and len(read_video(videos / "fused.mp4")) == 50


def test_a_folder_goes_on_where_it_was_stopped(videos, checkpoint, capsys, monkeypatch):
    assert fuse(videos, output="whole", checkpoint=checkpoint) == 0
    with monkeypatch.context() as patch:
        end_after_four(patch, KeyboardInterrupt)
        assert fuse(videos, output="out", checkpoint=checkpoint) == 130
    assert "kept. The same command with --resume goes on there." in capsys.readouterr().err
    there = {path: path.stat().st_mtime_ns for path in (videos / "out").iterdir()}
    assert len(there) == 4
    for written in (f"6 frames written to {videos / 'out'}. 4 were", "Nothing was written. 10 were"):
        assert fuse(videos, "--resume", output="out", checkpoint=checkpoint) == 0
        assert f"{written} there already.\n" in capsys.readouterr().out
    assert all(path.stat().st_mtime_ns == time for path, time in there.items())
    for path in (videos / "whole").iterdir():
        assert np.array_equal(Image.open(path), Image.open(videos / "out" / path.name)), path.name


def test_only_the_last_written_frames_are_fused_again(tmp_path):
    @dataclass
    class Recording:
        smoothing: float

        def fuse(self, pairs):
            calls.append(("fuse", int(pairs[0].name)))

        def prepare(self, pair):
            calls.append(("prepare", int(pair.name)))

    pairs = NearestPairs(*(Frames(name, at(10, 12), 0.1) for name in ("thermal", "photo")))
    folder, calls = FrameFolder(tmp_path), []
    for number in (0, 1, 2, 3, 4, 5, 6, 7, 9):
        folder.write(Image.new("RGB", (8, 8)), 0, f"{number:06d}")
    report = VideoReport()
    left = [int(pair.name) for pair in unwritten(pairs, Recording(0.09), folder, report)]
    # 9 comes after a gap, so that it is written anew; three time constants are three frames
    assert left == [8, 9, 10, 11] and report.kept == 8
    assert calls == [*(("prepare", number) for number in range(5)), ("fuse", 5), ("prepare", 6), ("fuse", 7)]
    calls.clear()
    assert len(list(unwritten(pairs, Recording(0), folder, report))) == 4 and calls == []


def test_smoothing_0_is_per_frame_fusion(videos, checkpoint):
    rng = np.random.default_rng(0)
    changing = [rng.integers(0, 255, (64, 80, 3), np.uint8) for _ in range(3)]
    write_video(videos / "thermal.mkv", [frame[..., 0] for frame in changing], codec="ffv1", source="gray", fmt="gray")
    write_video(videos / "photo.mkv", [VISIBLE] * 3, codec="ffv1", fmt="bgr0")
    given = {"checkpoint": checkpoint, "infrared": "thermal.mkv", "visible": "photo.mkv", "output": "out"}
    assert fuse(videos, "--smoothing", "0", "--batch-size", "2", **given) == 0
    for number, frame in enumerate(changing):
        for name, pixels in (("i", frame[..., 0]), ("v", VISIBLE)):
            Image.fromarray(pixels).save(videos / f"{name}.png")
        alone = videos / "alone.png"
        command = ["fuse", videos / "i.png", videos / "v.png", "-o", alone, "--model", checkpoint, "--device", "cpu"]
        assert main(list(map(str, command))) == 0
        of_video, expected = (
            np.asarray(Image.open(path), int) for path in (videos / "out" / f"{number:06d}.png", alone)
        )
        assert np.abs(of_video - expected).max() <= 1


def test_folders_of_deep_frames(tmp_path, checkpoint, capsys):
    for number in range(4):
        for half, pixels in (("i", INFRARED[..., 0].astype(np.uint16) * 20 + 7000 + number), ("v", VISIBLE)):
            (tmp_path / half).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / half / f"frame{number}.png")
    (tmp_path / "i" / "frame2.png").write_bytes(b"no image")
    (tmp_path / "v" / "frame9.png").write_bytes((tmp_path / "v" / "frame0.png").read_bytes())
    given = {"checkpoint": checkpoint, "infrared": "i", "visible": "v"}
    assert fuse(tmp_path, output="out", **given) == 1
    errors = capsys.readouterr().err
    assert "0.08 s: infrared" in errors and "cannot be read" in errors and "last frame that could be read" in errors
    assert "frame9.png has no partner" in errors
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"frame{number}.png" for number in range(4)]
    assert fuse(tmp_path, "--fps", "2", output="out.mp4", **given) == 1
    assert [seconds for seconds, _ in read_video(tmp_path / "out.mp4")] == [0, 0.5, 1, 1.5]
    assert fuse(tmp_path, "--infrared-unit", "centikelvin", output="again", **given) == 1
    assert len(list((tmp_path / "again").iterdir())) == 4


def test_size_box_and_rig(videos, checkpoint):
    assert fuse(videos, "--size", "32", checkpoint=checkpoint) == 0
    assert read_video(videos / "fused.mp4")[0][1].shape == (32, 40, 3)
    move = np.array([[1, 0, 20], [0, 1, 10], [0, 0, 1.0]])
    save_rig(Rig((40, 32), (80, 64), move, "similarity", 1.0, 1), videos / "rig.json")
    for choice in (["--infrared-box", "20", "10", "60", "42"], ["--rig", videos / "rig.json"]):
        assert fuse(videos, *choice, checkpoint=checkpoint) == 0
        frame = read_video(videos / "fused.mp4")[0][1].astype(int)
        assert np.abs(frame - VISIBLE)[44:].mean() < 6 < np.abs(frame - VISIBLE)[15:35, 28:52].mean()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"infrared": "none.mp4"}, "none.mp4: there is no such file or folder"),
        ({"infrared": "folder"}, "are a folder and a file"),
        ({"infrared": "text.mp4"}, "text.mp4: cannot be read as a video"),
        ({"output": "out.gif"}, "has no video suffix that can be written"),
        ({"output": "photo.mp4"}, "is one of the inputs"),
        ({"output": "taken.mp4"}, "is a folder; -o names the video"),
        ({"infrared": "folder", "visible": "folder"}, "hold no images of the same names"),
        ({"choice": ["--resume"]}, "a written video cannot be continued. Give a folder in place of"),
        ({"choice": ["--batch-size", "0"]}, "The batch size is 0"),
        ({"choice": ["--fps", "0"]}, "0 frames a second were given"),
        ({"choice": ["--smoothing", "-1"]}, "The smoothing is -1.0 seconds"),
        ({"choice": ["--rig", "none.json"]}, "none.json: there is no such file"),
        ({"choice": ["--offset", "99"]}, "10 frames before infrared begins at 99.00 s were left out"),
    ],
)
def test_what_cannot_work_is_said_and_nothing_is_written(videos, checkpoint, capsys, arguments, message):
    (videos / "folder").mkdir()
    (videos / "taken.mp4").mkdir()
    (videos / "text.mp4").write_text("no video")
    before = sorted(videos.rglob("*"))
    given = {name: value for name, value in arguments.items() if name != "choice"}
    assert fuse(videos, *arguments.get("choice", []), checkpoint=checkpoint, **given) == 1
    assert message in capsys.readouterr().err
    assert sorted(videos.rglob("*")) == before


def test_without_pyav_a_sentence_says_what_to_install(videos, checkpoint, capsys, monkeypatch):
    monkeypatch.setattr(video_file.importlib.util, "find_spec", lambda name: None)
    assert fuse(videos, checkpoint=checkpoint) == 1
    assert "pip install 'maefuse-hf[video]'" in capsys.readouterr().err
