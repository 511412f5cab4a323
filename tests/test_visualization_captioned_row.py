import numpy as np
import pytest
from PIL import Image

from maefuse_hf.visualization.captioned_row import BACKGROUND, GAP, side_by_side


def test_images_stand_in_a_row_under_their_captions():
    row = side_by_side({"left": Image.new("L", (40, 30), 100), "right": Image.new("RGB", (20, 10), (1, 2, 3))})
    pixels = np.asarray(row)
    caption = row.height - 30
    assert row.width == 40 + GAP + 20
    assert (pixels[caption:, :40] == 100).all()
    assert (pixels[caption : caption + 10, 40 + GAP :] == (1, 2, 3)).all()
    white = np.asarray(Image.new("RGB", (1, 1), BACKGROUND))[0, 0]
    assert (pixels[caption:, 40 : 40 + GAP] == white).all()
    assert (pixels[:caption] != white).any(), "no caption was written"


def test_a_long_caption_is_written_smaller():
    def width_of_ink(row, caption_height):
        ink = np.nonzero((np.asarray(row.convert("L"))[:caption_height] < 128).any(axis=0))[0]
        return ink.max() - ink.min() + 1

    image = Image.new("L", (200, 480), 255)
    short, long = side_by_side({"visible": image}), side_by_side({"a caption longer than its image": image})
    assert long.height < short.height
    assert width_of_ink(short, short.height - 480) < width_of_ink(long, long.height - 480) <= 200


def test_no_image():
    with pytest.raises(ValueError, match="at least one"):
        side_by_side({})
