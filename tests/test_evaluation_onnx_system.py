"""Exported files as systems, from graphs whose values can be computed by hand."""

import sys

import numpy as np
import pytest
import torch
from conftest import onnx_of_a_sum
from PIL import Image

pytest.importorskip("onnx", reason="needs the extra maefuse-hf[onnx]")
pytest.importorskip("onnxruntime", reason="needs the extra maefuse-hf[onnx]")
pytest.importorskip("onnxscript", reason="needs the extra maefuse-hf[onnx]")

from maefuse_hf import MaeFuseImageProcessor
from maefuse_hf.evaluation.onnx_system import OnnxSystem
from maefuse_hf.evaluation.provenance import file_sha256
from maefuse_hf.evaluation.runner import LiveSystem, ModelSystem
from maefuse_hf.example_scene import render_example_pair
from maefuse_hf.inference.pairs import PairPaths


def levels(image):
    return np.asarray(image).astype(int)


def saved(folder, infrared, visible):
    paths = [folder / "infrared.png", folder / "visible.png"]
    for path, image in zip(paths, (infrared, visible)):
        (image if isinstance(image, Image.Image) else Image.fromarray(np.uint8(image))).save(path)
    return PairPaths("0", *paths)


def test_luminance_is_measured_and_colours_are_shown(tmp_path):
    system = OnnxSystem("mean", onnx_of_a_sum(tmp_path / "onnx"))
    assert isinstance(system, LiveSystem)
    assert system.sha256 == file_sha256(tmp_path / "onnx" / "model.onnx")
    # the luminance of the colour is 0.299 · 100 + 0.587 · 50 + 0.114 · 200 = 82.05
    visible = [[[100, 50, 200], [255, 255, 255]]]
    fused = system.fuse("set", saved(tmp_path, [[0, 100]], visible))
    assert fused.measured.mode == "L" and levels(fused.measured).tolist() == [[41, 178]]
    assert levels(fused.image).tolist() == [[[59, 9, 159], [178, 178, 178]]]


def test_new_images_of_any_size_and_mode(tmp_path):
    system = OnnxSystem("sum", onnx_of_a_sum(tmp_path, weight=1))
    for size in ((3, 5), (40, 17)):
        infrared, visible = np.full(size, 200, np.uint8), np.full((*size, 3), 40, np.uint8)
        fused = system.fuse_images(Image.fromarray(infrared), Image.fromarray(visible))
        assert fused.mode == "L" and np.array_equal(levels(fused), np.full(size, 240))
    # what lies beyond white is clipped
    white = Image.fromarray(infrared)
    assert levels(system.fuse_images(white, white)).min() == 255


def test_it_has_the_threads_of_pytorch(tmp_path):
    file = onnx_of_a_sum(tmp_path)
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        session = OnnxSystem("mean", file).runner.session
        assert session.get_session_options().intra_op_num_threads == threads
        assert session.get_providers() == ["CPUExecutionProvider"]
    torch.set_num_threads(before)


@pytest.mark.slow
def test_it_measures_what_the_model_measures(exported, tmp_path):
    model, folder = exported
    own = ModelSystem("model", model, MaeFuseImageProcessor(size_divisor=8))
    other = OnnxSystem("float32", folder / "model.onnx")
    pair = saved(tmp_path, *render_example_pair(90, 130))
    expected, fused = own.fuse("set", pair), other.fuse("set", pair)
    for ours, theirs in ((fused.measured, expected.measured.convert("L")), (fused.image, expected.image)):
        difference = np.abs(levels(ours) - levels(theirs))
        # a value near a half may fall to either side
        assert difference.max() <= 1 and (difference > 0).mean() < 1e-3
    assert OnnxSystem("int8", folder / "model_int8.onnx").precision == "int8"


class TestRefusal:
    def test_no_file(self, tmp_path):
        with pytest.raises(OSError, match=r"mine: there is no file .*none\.onnx\. Make it: maefuse export onnx"):
            OnnxSystem("mine", tmp_path / "none.onnx")

    def test_a_folder(self, tmp_path):
        onnx_of_a_sum(tmp_path)
        with pytest.raises(ValueError, match=r"mine: .* is a folder; name one of model\.onnx\."):
            OnnxSystem("mine", tmp_path)

    @pytest.mark.parametrize("name", ["", "model.onnx"])
    def test_a_folder_that_is_no_export(self, tmp_path, name):
        (tmp_path / "model.onnx").write_bytes(b"")
        with pytest.raises(OSError, match=r"is no ONNX export: there is no maefuse_onnx\.json"):
            OnnxSystem("mine", tmp_path / name)

    def test_a_file_beside_the_export(self, tmp_path):
        onnx_of_a_sum(tmp_path)
        (tmp_path / "other.onnx").write_bytes(b"")
        with pytest.raises(
            ValueError, match=r"other\.onnx is none of the files of its export; name one of model\.onnx"
        ):
            OnnxSystem("mine", tmp_path / "other.onnx")

    def test_a_broken_file(self, tmp_path):
        onnx_of_a_sum(tmp_path).write_bytes(b"no graph")
        with pytest.raises(OSError, match=r"model\.onnx cannot be read"):
            OnnxSystem("mine", tmp_path / "model.onnx")

    def test_no_onnxruntime(self, tmp_path, monkeypatch):
        file = onnx_of_a_sum(tmp_path)
        for name in [name for name in sys.modules if name.startswith("maefuse_hf.onnx_export")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        with pytest.raises(ValueError, match=r'needs onnxruntime.* Run pip install "maefuse-hf\[onnx\]"'):
            OnnxSystem("mine", file)

    def test_a_size_that_the_graph_does_not_take(self, tmp_path):
        system = OnnxSystem("mine", onnx_of_a_sum(tmp_path, height_and_width=(8, 8)))
        image = Image.new("L", (9, 8))
        with pytest.raises(ValueError, match=r"onnxruntime cannot fuse 9x8 pixels \(.*Try smaller images"):
            system.fuse_images(image, image)

    def test_no_number(self, tmp_path):
        system = OnnxSystem("mine", onnx_of_a_sum(tmp_path, weight=float("nan")))
        image = Image.new("L", (8, 8))
        with pytest.raises(ValueError, match="mine gave NaN or infinity"):
            system.fuse_images(image, image)
