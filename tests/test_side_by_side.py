import numpy as np
import pytest
from PIL import Image

from maefuse_hf.side_by_side import BACKGROUND, GAP, side_by_side


def test_pictures_stand_in_a_row_under_their_captions():
    row = side_by_side({"left": Image.new("L", (40, 30), 100), "right": Image.new("RGB", (20, 10), (1, 2, 3))})
    pixels = np.asarray(row)
    caption = row.height - 30
    assert row.width == 40 + GAP + 20
    assert (pixels[caption:, :40] == 100).all()
    assert (pixels[caption : caption + 10, 40 + GAP :] == (1, 2, 3)).all()
    white = np.asarray(Image.new("RGB", (1, 1), BACKGROUND))[0, 0]
    assert (pixels[caption:, 40 : 40 + GAP] == white).all()
    assert (pixels[:caption] != white).any(), "no caption was written"


def test_no_picture():
    with pytest.raises(ValueError, match="at least one"):
        side_by_side({})
