"""Reading and writing of video files: `video_file.py` and `writing.py`."""

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image
from videos import grey_frames, read_video, sound_of, write_video

from maefuse_hf.video import video_file
from maefuse_hf.video.video_file import VideoFile
from maefuse_hf.video.writing import AudioTrack, FrameFolder, VideoWriter

COLOURS = [(200, 40, 90), (20, 180, 60), (30, 60, 220), (128, 128, 128)]


def coloured(number: int, size=(64, 48)) -> Image.Image:
    return Image.new("RGB", size, COLOURS[number % len(COLOURS)])


def test_frames_come_with_their_times_and_values(tmp_path):
    path = write_video(tmp_path / "v.mp4", grey_frames(40, 90, 140, 190), rate=8)
    with VideoFile(path) as video:
        assert (video.interval, video.count, video.seconds) == (0.125, 4, 0.5)
        frames = list(video)
    assert [frame.seconds for frame in frames] == [0, 0.125, 0.25, 0.375]
    assert frames[0].pixels.shape == (48, 64, 3)
    assert [frame.pixels.mean() for frame in frames] == pytest.approx([40, 90, 140, 190], abs=1.5)


def test_sixteen_bits_keep_their_numbers(tmp_path):
    deep = np.add.outer(np.arange(48), 100 * np.arange(64)).astype(np.uint16) + 7000
    path = write_video(tmp_path / "t.mkv", [deep, deep + 1], codec="ffv1", source="gray16le", fmt="gray16le")
    with VideoFile(path, keep_depth=True) as video:
        frames = [frame.pixels for frame in video]
    assert frames[0].dtype == np.uint16
    assert np.array_equal(frames[0], deep) and np.array_equal(frames[1], deep + 1)
    with VideoFile(path) as video:
        assert next(iter(video)).pixels.dtype == np.uint8


def test_a_frame_that_cannot_be_decoded_keeps_its_place(tmp_path):
    path = write_video(tmp_path / "v.mp4", grey_frames(40, 90, 140, 190), damaged=(1, 3))
    with VideoFile(path) as video:
        frames = list(video)
    assert [frame.seconds for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.3])
    assert [frame.pixels is None for frame in frames] == [False, True, False, True]
    assert frames[1].problem == f"{path} is damaged there."


def test_a_phone_that_lay_on_its_side(tmp_path):
    frame = np.zeros((48, 64, 3), np.uint8)
    frame[:, 48:] = 255  # the right quarter
    path = write_video(tmp_path / "v.mp4", [frame])
    data = path.read_bytes()
    one, corner = (1 << 16).to_bytes(4, "big"), (1 << 30).to_bytes(4, "big")
    minus, zero = (2**32 - (1 << 16)).to_bytes(4, "big"), bytes(4)
    upright = one + zero * 3 + one + zero * 3 + corner
    # what turns the image a quarter clockwise when it is shown
    turned = zero + one + zero + minus + zero * 4 + corner
    start = data.index(upright, data.index(b"tkhd"))
    path.write_bytes(data[:start] + turned + data[start + len(turned) :])
    with VideoFile(path) as video:
        pixels = next(iter(video)).pixels
    assert pixels.shape == (64, 48, 3)
    # right has become below
    assert pixels[60:].min() > 200 and pixels[:40].max() < 50


def test_what_is_no_video(tmp_path, monkeypatch):
    (tmp_path / "v.mp4").write_bytes(b"no video at all")
    with pytest.raises(OSError, match=r"v.mp4: cannot be read as a video"):
        VideoFile(tmp_path / "v.mp4")
    monkeypatch.setattr(video_file.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(OSError, match=r"PyAV, which is not installed: pip install 'maefuse-hf\[video\]'"):
        VideoFile(tmp_path / "v.mp4")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".webm"])
def test_what_is_written_is_read_with_its_times_and_colours(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    times = [3.0, 3.1, 3.25, 3.3]
    with VideoWriter(path, Fraction(10)) as writer:
        for number, seconds in enumerate(times):
            writer.write(coloured(number), seconds)
    assert writer.frames == 4
    frames = read_video(path)
    assert [seconds for seconds, _ in frames] == [0, 0.1, 0.25, 0.3]
    for number, (_, pixels) in enumerate(frames):
        assert np.abs(pixels.astype(int) - COLOURS[number]).max() <= 6
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_odd_sides_get_one_more(tmp_path):
    with VideoWriter(tmp_path / "out.mp4", Fraction(10)) as writer:
        writer.write(coloured(0, (63, 47)), 0)
    assert read_video(tmp_path / "out.mp4")[0][1].shape == (48, 64, 3)


def test_sound_is_kept_for_the_time_of_the_frames(tmp_path):
    source = write_video(tmp_path / "v.mp4", grey_frames(*[90] * 20), sound=2.0)
    with VideoWriter(tmp_path / "whole.mp4", Fraction(10), source) as writer:
        for number in range(20):
            writer.write(coloured(number), number / 10)
    whole, original = sound_of(tmp_path / "whole.mp4"), sound_of(source)
    assert len(whole) == 16 * 1024 and np.array_equal(whole[: 15 * 1024], original[: 15 * 1024])
    with VideoWriter(tmp_path / "part.mp4", Fraction(10), source) as writer:
        for number in range(5, 12):
            writer.write(coloured(number), number / 10)
    # packets of 1024 samples: from 0.512 s, the fourth, to before 1.2 s, the ninth
    part = sound_of(tmp_path / "part.mp4")
    assert len(part) == 6 * 1024
    # a packet is decoded with the one before it, so the first one differs
    assert np.allclose(part[1024:5120], original[4 * 1024 + 1024 : 4 * 1024 + 5120], atol=1e-3)
    assert writer.notes == []


def test_sound_that_does_not_fit_is_told(tmp_path):
    source = write_video(tmp_path / "v.mp4", grey_frames(90, 90), sound=0.2)
    with VideoWriter(tmp_path / "out.webm", Fraction(10), source) as writer:
        writer.write(coloured(0), 0)
    assert writer.notes == [f"{source}: sound of the kind aac does not fit the output; name it .mkv to keep it."]
    assert sound_of(tmp_path / "out.webm") is None and len(read_video(tmp_path / "out.webm")) == 1
    silent = AudioTrack(write_video(tmp_path / "silent.mp4", grey_frames(90)))
    assert silent.source is None and silent.notes == []
    silent.close()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError])
def test_whatever_ends_the_work_the_frames_that_were_done_are_there(tmp_path, stop):
    with pytest.raises(stop), VideoWriter(tmp_path / "out.mp4", Fraction(10)) as writer:
        for number in range(3):
            writer.write(coloured(number), number / 10)
        raise stop
    assert [seconds for seconds, _ in read_video(tmp_path / "out.mp4")] == [0, 0.1, 0.2]
    with pytest.raises(stop), VideoWriter(tmp_path / "none.mp4", Fraction(10)) as writer:
        raise stop
    assert [file.name for file in tmp_path.iterdir()] == ["out.mp4"]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_a_file_that_is_not_ended_can_be_played(tmp_path, suffix):
    """As after a kill."""
    rng = np.random.default_rng(0)
    with VideoWriter(tmp_path / f"out{suffix}", Fraction(10)) as writer:
        for number in range(40):
            writer.write(Image.fromarray(rng.integers(0, 255, (48, 64, 3), np.uint8)), number / 10)
        (tmp_path / f"left{suffix}").write_bytes(writer.beside.read_bytes())
    # the encoder holds the last ones back
    assert [seconds for seconds, _ in read_video(tmp_path / f"left{suffix}")][:20] == [
        number / 10 for number in range(20)
    ]


def test_what_a_killed_process_left_is_kept(tmp_path):
    (tmp_path / ".out.partial.mp4").write_bytes(b"hours of work")
    with VideoWriter(tmp_path / "out.mp4", Fraction(10)) as writer:
        writer.write(coloured(0), 0)
    assert (tmp_path / "out.killed.mp4").read_bytes() == b"hours of work"
    assert writer.notes == [f"What a run that was killed had written is kept as {tmp_path / 'out.killed.mp4'}."]
    assert {file.name for file in tmp_path.iterdir()} == {"out.mp4", "out.killed.mp4"}


def test_a_full_disk_is_told(tmp_path):
    with (
        pytest.raises(OSError, match=r"out.mp4 cannot be written"),
        VideoWriter(tmp_path / "no" / "out.mp4", Fraction(10)) as writer,
    ):
        writer.write(coloured(0), 0)


def test_a_folder_of_frames(tmp_path):
    with FrameFolder(tmp_path) as writer:
        writer.write(coloured(0), 0.0, "000007")
    assert (writer.frames, [path.name for path in tmp_path.iterdir()]) == (1, ["000007.png"])
