import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from training.config import DataConfig
from training.lone_photos import curve, even_infrared, read_lone_photos, shaped_infrared


@pytest.fixture
def photos(tmp_path):
    """Five photos of one grey level each, 20x30, in a Parquet file."""
    images = [Image.fromarray(np.full((20, 30), 10 * number, np.uint8)) for number in range(5)]
    datasets.Dataset.from_dict({"image": images}).to_parquet(tmp_path / "photos.parquet")
    return str(tmp_path / "*.parquet")


def test_photos_are_spread_evenly_and_keep_their_pixels(photos):
    pairs = read_lone_photos(DataConfig(pairs="", crop_size=16, photos=photos, lone_photos=2))
    assert pairs.names == ["photo 0", "photo 2"]
    for pair, level in zip(pairs, (0, 20)):
        assert pair.shape == (2, 20, 30) and pair.dtype == np.uint8
        assert (pair[1] == level).all()


def test_infrared_is_that_of_the_photos_number(photos):
    pairs = read_lone_photos(DataConfig(pairs="", crop_size=16, photos=photos, lone_photos=5))
    # one in three is even
    for number in (0, 3):
        assert np.array_equal(pairs[number][:1], even_infrared(20, 30, seed=number))
    for number in (1, 2, 4):
        assert np.array_equal(pairs[number][:1], shaped_infrared(pairs[number][1:], seed=number))


def test_infrared_is_nearly_even_mostly_dark_and_sometimes_warm():
    images = [even_infrared(60, 80, seed) for seed in range(60)]
    assert all(image.shape == (1, 60, 80) and image.dtype == np.uint8 for image in images)
    medians = np.array([np.median(image) for image in images])
    assert (medians < 100).mean() > 0.6 and medians.max() > 120
    # most of a scene lies near one level; in some a thing stands out from it
    near = [(np.abs(image.astype(int) - median) < 40).mean() for image, median in zip(images, medians)]
    assert np.median(near) > 0.9
    warm = [(image > median + 60).mean() > 0.01 for image, median in zip(images, medians)]
    assert 0.3 < np.mean(warm) < 0.8


def test_a_curve_goes_through_its_knots_in_straight_lines():
    random = torch.Generator().manual_seed(3)
    knots = torch.rand(3, generator=torch.Generator().manual_seed(3))
    levels = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])
    between = [(knots[0] + knots[1]) / 2, (knots[1] + knots[2]) / 2]
    expected = torch.stack([knots[0], between[0], knots[1], between[1], knots[2]])
    torch.testing.assert_close(curve(levels, random, knots=3), expected)


def test_shaped_infrared_has_the_photos_edges_and_other_brightness():
    # a bright disc on a dark ground, far from the border
    rows, columns = np.mgrid[:96, :96]
    disc = (rows - 48) ** 2 + (columns - 48) ** 2 < 24**2
    photo = np.where(disc, 200, 60).astype(np.uint8)[None]
    images = [shaped_infrared(photo, seed)[0].astype(float) for seed in range(40)]
    assert all(image.shape == (96, 96) for image in images)
    step = np.array([np.median(image[disc]) - np.median(image[~disc]) for image in images])
    # it may be warmer or colder than its ground, by more or less
    assert (step > 10).sum() >= 8 and (step < -10).sum() >= 8
    assert np.ptp(np.abs(step)) > 60


def test_the_seed_alone_decides():
    assert np.array_equal(even_infrared(20, 30, 7), even_infrared(20, 30, 7))
    assert not np.array_equal(even_infrared(20, 30, 7), even_infrared(20, 30, 8))
    photo = np.arange(600, dtype=np.uint8).reshape(1, 20, 30)
    assert np.array_equal(shaped_infrared(photo, 7), shaped_infrared(photo, 7))
    assert not np.array_equal(shaped_infrared(photo, 7), shaped_infrared(photo, 8))


def test_too_few_or_too_small_photos(photos):
    with pytest.raises(ValueError, match=r"lone_photos is 6, and .* holds 5 photos. Lower it."):
        read_lone_photos(DataConfig(pairs="", crop_size=16, photos=photos, lone_photos=6))
    with pytest.raises(ValueError, match="it is 20x30, smaller than the crop of 32"):
        read_lone_photos(DataConfig(pairs="", crop_size=32, photos=photos, lone_photos=1))
