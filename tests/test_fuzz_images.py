"""Images of every kind, and damaged bytes of every format: each pair is fused, or refused in our own words."""

import io
import resource

import numpy as np
import pytest
import torch
from conftest import small_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from maefuse_hf import MaeFuseImageProcessor
from maefuse_hf.image_files import FORMATS
from maefuse_hf.inference import fuse_pair

MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "I;16", "F")
FOREIGN = ("DDS", "EPS", "ICNS", "ICO", "IM", "JPEG2000", "PCX", "SGI", "SPIDER", "TGA", "XBM")
"""Formats that are not read and that a file may be in nevertheless, whatever it is called."""

LONGEST_SIDE = 40
MOST_MEMORY_KB = 2 * 1024**2
"""By how much the peak of the process may grow over all cases; Pillow lays out 0.5 GB for a header that lies."""


@pytest.fixture(scope="module")
def model():
    return small_model()


@st.composite
def images(draw):
    """An image of any mode and size with random content."""
    width, height = draw(st.integers(1, LONGEST_SIDE)), draw(st.integers(1, LONGEST_SIDE))
    noise = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 256, (height, width, 3), np.uint8)
    mode = draw(st.sampled_from(MODES))
    if mode in ("I", "I;16", "F"):
        deep = noise[..., 0] * 200.0 + draw(st.sampled_from([0, -3000])) * (mode != "I;16")
        return Image.fromarray(deep.astype({"I": np.int32, "I;16": np.uint16, "F": np.float32}[mode]))
    return Image.fromarray(noise).convert(mode)


@st.composite
def files(draw):
    """The bytes of a file: an image in any format that can hold it, most of them damaged, or nothing but bytes."""
    image, kind = draw(images()), draw(st.sampled_from(FORMATS * 3 + FOREIGN))
    file = io.BytesIO()
    try:
        image.save(file, kind)
    except (OSError, ValueError, KeyError):
        # not a mode of this format
        file = io.BytesIO()
        image.convert("L" if kind != "XBM" else "1").save(file, "PNG" if kind == "ICNS" else kind)
    content = bytearray(file.getvalue())
    for damage in draw(st.lists(st.sampled_from(["cut", "change", "remove", "insert", "zero"]), max_size=4)):
        # most of what goes wrong, goes wrong in headers
        end = draw(st.sampled_from([30, 200, len(content)]))
        place = draw(st.integers(0, max(0, min(end, len(content)) - 1)))
        if damage == "cut":
            del content[place:]
        elif damage == "change":
            content[place : place + 1] = draw(st.binary(min_size=1, max_size=1))
        elif damage == "remove":
            del content[place : place + draw(st.integers(1, 8))]
        elif damage == "insert":
            content[place:place] = draw(st.binary(min_size=1, max_size=8))
        else:
            content[place : place + 4] = bytes(4)
    return bytes(content)


def peak_kb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.slow
def test_every_file_is_fused_or_refused_in_our_own_words(model, tmp_path):
    processor = MaeFuseImageProcessor(size_divisor=8, resize_infrared=True)
    infrared_path, visible_path = tmp_path / "infrared", tmp_path / "visible"
    outcomes = {"fused": 0, "refused": 0}

    @settings(
        max_examples=1000,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(files(), files())
    def fuse(infrared, visible):
        infrared_path.write_bytes(infrared)
        visible_path.write_bytes(visible)
        try:
            fused = fuse_pair(model, processor, infrared_path, visible_path)
        except (OSError, ValueError) as error:
            assert str(error).startswith((f"infrared ({infrared_path}): ", f"visible ({visible_path}): ")), error
            outcomes["refused"] += 1
            return
        assert fused.image.mode == "RGB" and torch.isfinite(fused.outputs.fused).all()
        outcomes["fused"] += 1

    before = peak_kb()
    fuse()
    assert peak_kb() - before < MOST_MEMORY_KB
    assert min(outcomes.values()) > 50, outcomes
