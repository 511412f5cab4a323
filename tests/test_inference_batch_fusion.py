import numpy as np
import pytest
import torch
from conftest import IN_TILES, small_model
from PIL import Image

from maefuse_hf import MaeFuseImageProcessor, MaeFuseModel
from maefuse_hf.cli import main
from maefuse_hf.example_scene.scene import render_example_pair
from maefuse_hf.inference import batch_fusion, pair_fusion
from maefuse_hf.inference.batch_fusion import fuse_batch
from maefuse_hf.inference.file_fusion import FusedFiles, fuse_files
from maefuse_hf.inference.pair_fusion import BatchMemoryError, FusedInStrips

SIZES = [(88, 96), (88, 96), (85, 96), (64, 80), (88, 96)]


@pytest.fixture(scope="module")
def model():
    return small_model(**IN_TILES)


@pytest.fixture(scope="module")
def processor():
    return MaeFuseImageProcessor(size_divisor=8)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Pairs of three sizes, of which two are one size after padding."""
    folder = tmp_path_factory.mktemp("pairs")
    for kind in ("infrared", "visible"):
        (folder / kind).mkdir()
    for number, size in enumerate(SIZES):
        for kind, image in zip(("infrared", "visible"), render_example_pair(*size, seed=number)):
            image.save(folder / kind / f"{number}.png")
    return [(folder / "infrared" / f"{number}.png", folder / "visible" / f"{number}.png") for number in range(5)]


@pytest.fixture
def calls(monkeypatch):
    """How many pairs each call of a model had, beside those of the coarse structure."""
    seen, forward = [], MaeFuseModel.forward

    def counted(self, infrared, visible, *arguments, **settings):
        seen.append(len(infrared))
        return forward(self, infrared, visible, *arguments, **settings)

    monkeypatch.setattr(MaeFuseModel, "forward", counted)
    return seen


def test_pairs_of_one_size_are_one_call_and_come_out_as_one_by_one(model, processor, pairs, calls):
    together = fuse_batch(model, processor, pairs)
    assert calls == [3, 1, 1]
    for files, fused in zip(pairs, together, strict=True):
        alone = fuse_files(model, processor, *files)
        assert isinstance(fused, FusedFiles)
        assert np.array_equal(np.asarray(fused.image), np.asarray(alone.image))
        assert torch.equal(fused.pair.inputs["visible"], alone.pair.inputs["visible"])
        torch.testing.assert_close(fused.pair.outputs.trust, alone.pair.outputs.trust, atol=1e-4, rtol=1e-4)


def test_sizes_that_processing_makes_one_are_one_call(model, pairs, calls):
    processor = MaeFuseImageProcessor(size_divisor=8, size={"height": 40, "width": 48})
    together = fuse_batch(model, processor, pairs)
    assert calls == [5]
    assert [fused.image.size for fused in together] == [(width, height) for height, width in SIZES]


def test_settings_and_strategies_are_those_of_fuse_files(model, processor, pairs):
    settings = {"fusion": "cfm", "palette": "ironbow", "infrared_box": (3.0, 5.0, 50.0, 38.0)}
    for files, fused in zip(pairs, fuse_batch(model, processor, pairs, **settings), strict=True):
        alone = fuse_files(model, processor, *files, **settings)
        assert fused.infrared_box == alone.infrared_box
        assert np.array_equal(np.asarray(fused.image), np.asarray(alone.image))


def test_what_is_wrong_with_a_pair_stands_in_its_place(model, processor, pairs, tmp_path):
    Image.new("L", (96, 88), 70).save(tmp_path / "shutter.png")
    (tmp_path / "none.png").write_bytes(b"no image")
    batch = [pairs[0], (tmp_path / "none.png", pairs[1][1]), (tmp_path / "shutter.png", pairs[1][1]), pairs[4]]
    first, unreadable, empty, last = fuse_batch(model, processor, batch)
    assert isinstance(first, FusedFiles) and isinstance(last, FusedFiles)
    assert isinstance(unreadable, OSError) and "cannot be read" in str(unreadable)
    assert isinstance(empty, ValueError) and "every pixel is 70" in str(empty)


def test_luminance_that_is_not_finite_is_one_pairs_problem(model, processor, pairs, monkeypatch):
    outputs_of = pair_fusion.outputs_of

    def broken(*arguments, **settings):
        outputs = outputs_of(*arguments, **settings)
        outputs[0].fused = outputs[0].fused * torch.nan
        return outputs

    monkeypatch.setattr(batch_fusion, "outputs_of", broken)
    first, second = fuse_batch(model, processor, pairs[:2])
    assert isinstance(first, ValueError) and "NaN" in str(first)
    assert isinstance(second, FusedFiles)


def test_large_pairs_are_fused_alone(model, processor, pairs, monkeypatch):
    expected = [fuse_files(model, processor, *files).image for files in pairs]
    monkeypatch.setattr(pair_fusion, "LARGEST_HELD_WHOLE", 88 * 96 - 1)
    fused = fuse_batch(model, processor, pairs)
    assert [isinstance(each.pair, FusedInStrips) for each in fused] == [True, True, False, False, True]
    for each, image in zip(fused, expected, strict=True):
        assert abs(np.asarray(each.image, int) - np.asarray(image, int)).max() <= 1


@pytest.fixture
def small_memory(monkeypatch):
    """A model that has room for two pairs, and not for a large one."""
    forward = MaeFuseModel.forward

    def bounded(self, infrared, visible, *arguments, **settings):
        if infrared.numel() > 2 * 88 * 96 or infrared.shape[-2:] == (64, 80):
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(self, infrared, visible, *arguments, **settings)

    monkeypatch.setattr(MaeFuseModel, "forward", bounded)


def test_a_batch_that_a_gpu_cannot_hold_names_the_option(model, processor, pairs, small_memory):
    with pytest.raises(BatchMemoryError, match=r"3 pairs of 96×88 pixels do not fit .* smaller --batch-size"):
        fuse_batch(model, processor, [pairs[0], pairs[1], pairs[4]])
    # one pair alone is that pair's problem
    fitting, too_large = fuse_batch(model, processor, [pairs[0], pairs[3]])
    assert isinstance(fitting, FusedFiles)
    assert isinstance(too_large, ValueError) and "--dtype float16" in str(too_large)
    assert not isinstance(too_large, BatchMemoryError)


class TestCommand:
    @pytest.fixture
    def fuse(self, model, processor, pairs, tmp_path):
        """Runs `maefuse fuse` over the folder of pairs; gives its status and what it wrote, by name."""
        model.save_pretrained(tmp_path / "model")
        processor.save_pretrained(tmp_path / "model")

        def run(*options, infrared=pairs[0][0].parent, name="out"):
            arguments = [infrared, pairs[0][1].parent, "-o", tmp_path / name, "--model", tmp_path / "model"]
            status = main(["fuse", *map(str, arguments), "--device", "cpu", *options])
            return status, {path.name: path.read_bytes() for path in (tmp_path / name).glob("*.png")}

        return run

    def test_batches_write_the_same_files(self, fuse, calls, capsys):
        status, one_by_one = fuse(name="alone")
        assert status == 0 and calls == [1] * 5
        calls.clear()
        assert fuse("--batch-size", "3") == (0, one_by_one)
        assert sorted(calls) == [1, 1, 1, 2]
        assert "100%" in capsys.readouterr().err
        calls.clear()
        assert fuse("--batch-size", "99", name="all") == (0, one_by_one)
        assert sorted(calls) == [1, 1, 3]

    def test_a_bad_pair_is_reported_and_the_rest_of_its_batch_is_done(self, fuse, pairs, tmp_path, capsys):
        for path, _ in pairs:
            Image.open(path).save(tmp_path / path.name)
        (tmp_path / "1.png").write_bytes(b"no image")
        Image.new("L", (96, 88), 70).save(tmp_path / "4.png")
        status, files = fuse("--batch-size", "5", infrared=tmp_path)
        assert status == 1 and sorted(files) == ["0.png", "2.png", "3.png", "4.png"]
        printed = capsys.readouterr()
        assert "maefuse: 1: infrared" in printed.err and "The visible image was written as it is." in printed.err
        assert "4 images written" in printed.out and "1 problems" in printed.out

    def test_too_large_a_batch_ends_the_run_with_a_sentence(self, fuse, small_memory, capsys):
        assert fuse("--batch-size", "5") == (1, {})
        errors = capsys.readouterr().err
        assert "Give a smaller --batch-size." in errors and "Traceback" not in errors

    def test_a_batch_has_a_pair_at_least(self, fuse, capsys):
        assert fuse("--batch-size", "0")[0] == 1
        assert "--batch-size is 0. Give 1 or more." in capsys.readouterr().err
