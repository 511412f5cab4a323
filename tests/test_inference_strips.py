import numpy as np
import pytest
import torch
from conftest import small_model
from PIL import Image

from maefuse_hf import MaeFuseImageProcessor
from maefuse_hf.inference import pair_fusion, strips
from maefuse_hf.inference.pair_fusion import FusedInStrips, FusedPair, fuse_any_size, fuse_in_strips, fuse_pair
from maefuse_hf.inference.pair_rows import PairRows
from maefuse_hf.inference.strips import content, fused_strips, windows


def noise(*shape, dtype=np.uint8, high=256, seed=0):
    return np.random.default_rng(seed).integers(0, high, shape).astype(dtype)


@pytest.fixture
def pair():
    """Infrared and visible of 117x203: no multiples of the patch size."""
    return Image.fromarray(noise(203, 117)), Image.fromarray(noise(203, 117, 3, seed=1))


@pytest.fixture
def processor():
    return MaeFuseImageProcessor(size_divisor=8)


class TestFusedStrips:
    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"tile_size": 4},
            {"tile_size": 4, "source_detail_sigma": 1.5},
            {"tile_size": 4, "source_detail_sigma": 1.5, "detail_gain": 4.0},
            {"tile_size": 4, "coarse_factor": 2, "coarse_sigma": 3.0},
            {"tile_size": 5, "coarse_factor": 3, "coarse_sigma": 4.0, "source_detail_sigma": 2.0, "detail_limit": 2.0},
        ],
    )
    def test_are_what_the_whole_pair_gives(self, pair, processor, fields, monkeypatch):
        monkeypatch.setattr(strips, "ROWS_SHRUNK_AT_ONCE", 7)
        model = small_model(**fields)
        whole = fuse_pair(model, processor, *pair)
        fused = list(fused_strips(model, PairRows(processor, *pair)))
        # one strip a row of tiles
        assert len(fused) == len(model.tiles((26, 15)).tops)
        assert torch.allclose(torch.cat(fused, dim=-2), whole.outputs.fused[..., :203, :117], atol=1e-6, rtol=0)
        in_strips = fuse_in_strips(model, processor, *pair, progress=False)
        # a difference of 1e-6 may round to another grey value
        assert (np.asarray(in_strips.image) != np.asarray(whole.image)).mean() < 1e-3
        assert np.array_equal(in_strips.infrared(), whole.infrared())

    def test_strategies_count(self, pair, processor):
        model = small_model(tile_size=4, coarse_factor=2, coarse_sigma=3.0)
        whole = fuse_pair(model, processor, *pair, fusion="mfm", contour="visible").outputs.fused[..., :203, :117]
        fused = torch.cat(list(fused_strips(model, PairRows(processor, *pair), contour="visible")), dim=-2)
        assert torch.allclose(fused, whole, atol=1e-6, rtol=0)
        with pytest.raises(ValueError, match="fusion is 'max'"):
            next(fused_strips(model, PairRows(processor, *pair), fusion="max"))

    def test_the_first_strip_needs_the_upper_rows_alone(self, pair, processor, monkeypatch):
        model, read = small_model(tile_size=4, source_detail_sigma=1.0), []
        rows = PairRows(processor, *pair)
        luminance = rows.luminance
        monkeypatch.setattr(rows, "luminance", lambda begin, end: read.append(end) or luminance(begin, end))
        next(fused_strips(model, rows))
        assert max(read) <= 8 * 8

    def test_no_numbers_are_refused(self, pair, processor):
        model = small_model(tile_size=4)
        torch.nn.init.constant_(model.decoder.predict.bias, float("nan"))
        with pytest.raises(ValueError, match="NaN or infinity"):
            fuse_in_strips(model, processor, *pair, progress=False)


class TestWindows:
    @pytest.mark.parametrize("reach", [0, 1, 3, 50])
    def test_have_the_rows_around_each_strip(self, reach):
        rows = torch.arange(12.0).view(1, 1, 12, 1)
        found = list(windows(iter(rows.split((3, 1, 5, 3), dim=-2)), reach, 12))
        assert [(begin, end) for _, _, begin, end in found] == [(0, 3), (3, 4), (4, 9), (9, 12)]
        for window, top, begin, end in found:
            assert top == max(0, begin - reach)
            assert window.flatten().tolist() == list(range(top, min(12, end + reach)))

    def test_content_is_without_padding(self):
        rows = torch.arange(24.0).view(1, 1, 6, 4).split(2, dim=-2)
        kept = list(content(iter(rows), 3, 2))
        assert [strip.flatten().tolist() for strip in kept] == [[0, 1, 4, 5], [8, 9]]


class TestPairRows:
    @pytest.mark.parametrize(
        ("infrared", "visible", "overrides"),
        [
            (noise(30, 21), noise(30, 21, 3, seed=1), {}),
            (noise(30, 21, dtype=np.uint16, high=9000), noise(30, 21, seed=1), {}),
            (noise(30, 21, dtype=np.uint16, high=9000), noise(30, 21, seed=1), {"infrared_range": (2000.0, 5000.0)}),
            (noise(12, 10), noise(30, 21, 3, seed=1), {"resize_infrared": True}),
            (noise(3, 5), noise(3, 5, 3, seed=1), {"visible_range": (20.0, 200.0)}),
        ],
    )
    def test_are_what_the_processor_makes(self, processor, infrared, visible, overrides):
        images = Image.fromarray(infrared), Image.fromarray(visible)
        inputs = processor(*images, return_tensors="pt", **overrides)
        rows = PairRows(processor, *images, **overrides)
        height, width = rows.padded_size
        assert (height, width) == inputs["infrared"].shape[-2:]
        for begin, end in ((0, height), (0, 2), (height - 3, height)):
            for name, part in zip(("infrared", "visible"), rows.luminance(begin, end)):
                assert torch.equal(part, inputs[name][..., begin:end, :])
        assert np.array_equal(rows.colours(1, 3), inputs["visible_rgb"][0, :, 1:3].numpy())

    def test_refuse_what_the_processor_refuses(self, processor):
        small, large = Image.fromarray(noise(12, 10)), Image.fromarray(noise(30, 21))
        for images, overrides in (((small, large), {}), ((large, large), {"infrared_range": (400.0, 500.0)})):
            messages = []
            for attempt in (processor, lambda *images, **overrides: PairRows(processor, *images, **overrides)):
                with pytest.raises(ValueError) as error:
                    attempt(*images, **overrides)
                messages.append(str(error.value))
            assert messages[0] == messages[1]
        with pytest.raises(TypeError, match="No such setting: colour"):
            PairRows(processor, large, large, colour=True)


class TestAnySize:
    @pytest.fixture(autouse=True)
    def small_is_large(self, monkeypatch):
        monkeypatch.setattr(pair_fusion, "LARGEST_HELD_WHOLE", 117 * 203 - 1)

    def test_large_pairs_are_fused_in_strips(self, pair, processor, tmp_path):
        model = small_model(tile_size=4)
        assert isinstance(fuse_any_size(model, processor, *pair), FusedInStrips)
        pair[1].save(tmp_path / "visible.png")
        assert isinstance(fuse_any_size(model, processor, pair[0], tmp_path / "visible.png"), FusedInStrips)
        smaller = [image.crop((0, 0, 117, 202)) for image in pair]
        assert isinstance(fuse_any_size(model, processor, *smaller), FusedPair)

    def test_those_that_a_processor_resizes_are_held_whole(self, pair, processor):
        model = small_model(tile_size=4)
        assert isinstance(fuse_any_size(model, processor, *pair, size={"shortest_edge": 24}), FusedPair)
        eight_bit = MaeFuseImageProcessor(size_divisor=8, eight_bit=True)
        assert isinstance(fuse_any_size(model, eight_bit, *pair), FusedPair)
