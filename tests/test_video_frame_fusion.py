import numpy as np
import pytest
import torch
from conftest import small_model
from PIL import Image

from maefuse_hf import MaeFuseImageProcessor
from maefuse_hf.example_scene.scene import render_example_pair
from maefuse_hf.inference import fuse_pair
from maefuse_hf.registration import Rig
from maefuse_hf.video.frame_fusion import COLOURED, NO_CONTENT, NO_VISIBLE_CONTENT, STRETCHED, FrameFuser
from maefuse_hf.video.frames import FramePair

SCENE = render_example_pair(64, 80)
INFRARED, VISIBLE = (np.asarray(image) for image in (SCENE[0].convert("L"), SCENE[1]))


@pytest.fixture(scope="module")
def model():
    return small_model(), MaeFuseImageProcessor(size_divisor=8)


def pairs(infrared, visible=None, rate=25):
    visible = visible or [VISIBLE] * len(infrared)
    return [FramePair(f"{k}", k / rate, *frames) for k, frames in enumerate(zip(infrared, visible))]


def arrays(frames) -> list[np.ndarray]:
    return [np.asarray(frame.image, int) for frame in frames]


def noisy(seed: int, image=INFRARED) -> np.ndarray:
    return (image + np.random.default_rng(seed).normal(0, 20, image.shape)).clip(0, 255).astype(np.uint8)


def test_without_smoothing_each_frame_is_what_fuse_makes_of_it(model):
    infrared = [noisy(seed) for seed in range(3)]
    frames = FrameFuser(*model, smoothing=0).fuse(pairs(infrared))
    for heat, frame in zip(infrared, frames):
        alone = fuse_pair(*model, Image.fromarray(heat), Image.fromarray(VISIBLE)).image
        assert np.abs(np.asarray(frame.image, int) - np.asarray(alone, int)).max() <= 1
        assert frame.notes == ()


def test_a_scene_without_change_gives_frames_without_change(model):
    first, *others = arrays(FrameFuser(*model, smoothing=2).fuse(pairs([INFRARED] * 4)))
    assert all(np.array_equal(first, other) for other in others)
    assert np.array_equal(first, arrays(FrameFuser(*model, smoothing=0).fuse(pairs([INFRARED])))[0])


def test_batches_give_the_same_frames(model):
    given = pairs([noisy(seed) for seed in range(4)])
    together = arrays(FrameFuser(*model).fuse(given))
    fuser = FrameFuser(*model)
    apart = [image for pair in given for image in arrays(fuser.fuse([pair]))]
    assert all(np.abs(one - other).max() <= 1 for one, other in zip(together, apart))


def test_smoothing_holds_brightness_where_nothing_changed(model):
    hot = INFRARED.copy()
    hot[20:44, 4:20] = 255
    given = pairs([INFRARED, hot])
    away = np.s_[:, 56:]
    jumps = {}
    for smoothing in (0, 2):
        before, after = arrays(FrameFuser(*model, smoothing=smoothing).fuse(given))
        jumps[smoothing] = abs((after - before)[away].mean())
    assert jumps[2] < 0.2 * jumps[0]


def test_a_closed_shutter_lets_the_visible_image_through_and_is_told(model):
    closed = np.full_like(INFRARED, 77)
    closed[::2] += 1  # a codec's ripple
    fuser = FrameFuser(*model)
    frames = fuser.fuse(pairs([INFRARED, closed, INFRARED]))
    assert np.array_equal(frames[1].image, VISIBLE)
    assert [frame.notes for frame in frames] == [(), (NO_CONTENT,), ()]
    # brightness goes on where it was
    assert np.array_equal(frames[0].image, frames[2].image)


def test_a_hot_dot_in_the_cold_is_no_closed_shutter(model):
    dot = np.full_like(INFRARED, 20)
    dot[30:32, 40:42] = 200
    assert FrameFuser(*model).fuse(pairs([dot]))[0].notes == ()


def test_frames_of_no_content_otherwise(model):
    black = np.zeros_like(VISIBLE)
    lost, dark = FrameFuser(*model).fuse(
        [FramePair("0", 0, None, VISIBLE, ("lost",)), FramePair("1", 0.04, INFRARED, black)]
    )
    assert np.array_equal(lost.image, VISIBLE) and lost.notes == ("lost",)
    assert np.array_equal(np.asarray(dark.image)[..., 0], INFRARED) and dark.notes == (NO_VISIBLE_CONTENT,)


def test_the_range_of_deep_infrared_is_held_when_something_hot_comes(model):
    deep = INFRARED.astype(np.uint16) * 10 + 7000
    hot = deep.copy()
    hot[20:30, 10:30] = 20000
    seen = []
    for smoothing in (2.0, 0):
        fuser = FrameFuser(*model, smoothing=smoothing)
        seen.append([fuser.unit_infrared(pixels, k / 25) for k, pixels in enumerate((deep, hot))])
    (held_before, held), (own_before, own) = seen
    assert np.array_equal(held_before, own_before)
    rest = np.s_[32:]
    assert np.abs(held - held_before)[rest].max() < 0.03
    assert np.abs(own - own_before)[rest].max() > 0.5
    # a closed shutter does not move it
    fuser = FrameFuser(*model, smoothing=2.0)
    fuser.unit_infrared(deep, 0)
    assert fuser.unit_infrared(np.full_like(deep, 8000), 0.04) is None
    assert fuser.unit_infrared(np.full_like(deep, 8000) + (deep % 2), 0.08) is None
    assert np.array_equal(fuser.unit_infrared(deep, 0.12), held_before)


def test_a_fixed_range(model):
    fuser = FrameFuser(*model, infrared_range=(1000, 3000))
    assert fuser.unit_infrared(np.array([[500, 1000], [2500, 4000]], np.uint16), 0).tolist() == [[0, 0], [0.75, 1]]


def test_infrared_of_another_size_covers_the_photo_or_lies_where_box_and_rig_say(model):
    small = INFRARED[::2, ::2]
    (whole,) = arrays(FrameFuser(*model).fuse(pairs([small])))
    assert whole.shape == VISIBLE.shape
    (boxed,) = arrays(FrameFuser(*model, place=(20, 10, 60, 42)).fuse(pairs([small])))
    move = np.array([[1, 0, 20], [0, 1, 10], [0, 0, 1.0]])
    rig = Rig((40, 32), (80, 64), move, "similarity", 1.0, 1)
    (rigged,) = arrays(FrameFuser(*model, place=rig).fuse(pairs([small])))
    outside = np.ones(VISIBLE.shape[:2], bool)
    outside[10:42, 20:60] = False
    for image in (boxed, rigged):
        assert np.array_equal(image[outside], VISIBLE[outside])
        assert not np.array_equal(image[~outside], VISIBLE[~outside])
    with pytest.raises(ValueError, match="holds for infrared of 40×32"):
        FrameFuser(*model, place=rig).fuse(pairs([INFRARED]))


def test_doubts_about_infrared_are_told(model):
    coloured = np.stack([INFRARED, 255 - INFRARED, INFRARED], axis=-1)
    (frame,) = FrameFuser(*model).fuse(pairs([coloured]))
    assert frame.notes == (COLOURED,)
    grey = np.repeat(INFRARED[..., None], 3, axis=2)
    narrow = FrameFuser(*model).fuse(pairs([grey[:, :60]]))[0]
    assert narrow.notes == (STRETCHED,)
    assert FrameFuser(*model, place=(0, 0, 60, 64)).fuse(pairs([grey[:, :60]]))[0].notes == ()


def test_a_rig_and_a_box_go_with_photos_that_are_made_smaller(model):
    move = np.array([[1, 0, 20], [0, 1, 10], [0, 0, 1.0]])
    rig = Rig((40, 32), (80, 64), move, "similarity", 1.0, 1)
    for place in (rig, (20, 10, 60, 42)):
        (image,) = arrays(FrameFuser(*model, place=place, shortest_edge=32).fuse(pairs([INFRARED[::2, ::2]])))
        halved = np.asarray(Image.fromarray(VISIBLE).resize((40, 32), Image.Resampling.BOX), int)
        outside = np.ones((32, 40), bool)
        outside[5:21, 10:30] = False
        assert np.array_equal(image[outside], halved[outside])
        assert not np.array_equal(image[~outside], halved[~outside])


def test_the_shortest_edge_never_enlarges_and_gives_even_sides(model):
    assert FrameFuser(*model, shortest_edge=40).shrunk(SCENE[1]).size == (50, 40)
    assert FrameFuser(*model, shortest_edge=33).shrunk(SCENE[1]).size == (42, 32)
    assert FrameFuser(*model, shortest_edge=100).shrunk(SCENE[1]).size == (80, 64)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"smoothing": -1}, "The smoothing is -1 seconds"),
        ({"smoothing": float("nan")}, "The smoothing is nan seconds"),
        ({"shortest_edge": 0}, "The shortest edge is 0 pixels"),
        ({"infrared_range": (9, 9)}, "The infrared range is"),
    ],
)
def test_settings_that_cannot_be(model, settings, message):
    with pytest.raises(ValueError, match=message):
        FrameFuser(*model, **settings)


def test_nothing_of_a_frame_stays_in_memory(model):
    """What is remembered is small: averages over cells, and a few numbers."""
    fuser = FrameFuser(*model)
    fuser.fuse(pairs([INFRARED] * 2))
    held = [value for value in vars(fuser.brightness).values() if isinstance(value, torch.Tensor)]
    assert sum(value.numel() for value in held) == 3 * 8 * 10
