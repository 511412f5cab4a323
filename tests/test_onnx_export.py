"""`maefuse export onnx`: graphs of any size beside PyTorch, the script that needs no PyTorch, and what is refused."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import IN_TILES, ONE_LAYER, small_model
from packaging.version import Version
from PIL import Image

from maefuse_hf import MaeFuseImageProcessor
from maefuse_hf.cli import main
from maefuse_hf.cli.export import OLDEST_TORCH
from maefuse_hf.example_scene.scene import render_example_pair
from maefuse_hf.inference.pair_fusion import fuse_pair
from maefuse_hf.tiles import cover

onnx = pytest.importorskip("onnx", reason="needs the extra maefuse-hf[onnx]")
ort = pytest.importorskip("onnxruntime", reason="needs the extra maefuse-hf[onnx]")
pytest.importorskip("onnxscript", reason="needs the extra maefuse-hf[onnx]")

if Version(torch.__version__) < Version(OLDEST_TORCH):
    pytest.skip(f"the exporter of torch {torch.__version__} is older than {OLDEST_TORCH}", allow_module_level=True)

from maefuse_hf.onnx_export import MaeFuseOnnx, composition, export_onnx  # noqa: E402
from maefuse_hf.onnx_export.assembly import assembled, graphs  # noqa: E402

LIKE_THE_SHIPPED = {
    **IN_TILES,
    "fusion_attention": "local",
    "fusion_window": 3,
    "merging_joint_softmax": True,
    "merging_blocks": 1,
    "detail_gain": 4.0,
}
PROCESSOR = MaeFuseImageProcessor(size_divisor=8)
SIZES = [(1, 1), (3, 21), (40, 33), (64, 64), (150, 91), (200, 310)]
"""Smaller than a patch, than its padding, than a tile; odd; several levels of coarse structure."""


def levels(image):
    return np.asarray(image).astype(int)


@torch.inference_mode()
def luminance(model, infrared, visible):
    """What PyTorch makes of two (H, W) luminances."""
    inputs = PROCESSOR(infrared=infrared, visible=visible, return_tensors="pt")
    height, width = infrared.shape
    return model(**inputs).fused[0, 0, :height, :width].numpy()


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_float32_is_pytorch(exported, size):
    model, folder = exported
    if size == (1, 1):
        images = [np.float32([[value]]) for value in (0.25, 0.75)]
        inputs = {name: torch.full((1, 1, 8, 8), image.item()) for name, image in zip(("infrared", "visible"), images)}
        with torch.inference_mode():
            expected = model(**inputs, original_sizes=torch.tensor([[1, 1]])).fused[0, 0, :1, :1].numpy()
    else:
        images = np.random.default_rng(0).random((2, *size), np.float32)
        expected = luminance(model, *images)
    fused = MaeFuseOnnx(folder).fuse_luminance(*images)
    assert fused.shape == size and fused.dtype == np.float32
    assert np.abs(fused - expected).max() < 1e-4


def test_images_come_back_in_colour(exported):
    model, folder = exported
    infrared, visible = render_example_pair(90, 130)
    expected = fuse_pair(model, PROCESSOR, infrared, visible).image
    fused = MaeFuseOnnx(folder).fuse(infrared, visible)
    assert fused.mode == "RGB" and fused.size == (130, 90)
    difference = np.abs(levels(fused) - levels(expected))
    # a value near a half may fall to either side
    assert difference.max() <= 1 and (difference > 0).mean() < 1e-3


def test_deep_infrared_is_stretched_like_the_processor_does(exported, tmp_path):
    model, folder = exported
    infrared, visible = render_example_pair(64, 72)
    deep = Image.fromarray((levels(infrared) * 7 + 6900).astype(np.uint16))
    deep.save(tmp_path / "deep.png")
    expected = fuse_pair(model, PROCESSOR, tmp_path / "deep.png", visible).image
    assert np.abs(levels(MaeFuseOnnx(folder).fuse(tmp_path / "deep.png", visible)) - levels(expected)).max() <= 1


def test_a_batch_is_its_images(exported):
    _, folder = exported
    session = ort.InferenceSession(folder / "model.onnx")
    infrared, visible = np.random.default_rng(1).random((2, 3, 1, 70, 50), np.float32)
    together = session.run(["fused"], {"infrared": infrared, "visible": visible})[0]
    for number in range(3):
        alone = session.run(["fused"], {"infrared": infrared[number, None], "visible": visible[number, None]})[0]
        assert np.abs(together[number] - alone[0]).max() < 1e-5


@pytest.mark.parametrize(("precision", "most"), [("float16", 2), ("int8", 12)])
def test_lower_precision_is_near_and_smaller(exported, precision, most):
    _, folder = exported
    infrared, visible = render_example_pair(90, 130)
    exact, near = (MaeFuseOnnx(folder, kind).fuse(infrared, visible) for kind in ("float32", precision))
    difference = np.abs(levels(exact) - levels(near))
    assert 0 < difference.max() <= most
    sizes = {path.name: path.stat().st_size for path in folder.glob("*.onnx")}
    assert max(sizes, key=sizes.__getitem__) == "model.onnx"


@pytest.mark.parametrize("overlap", [0, 2, 5])
def test_tiles_begin_where_pytorch_has_them(overlap):
    session = ort.InferenceSession(composition.cover.to_model_proto().SerializeToString())
    for length in range(1, 300):
        numbers = {
            name: np.array(value, np.int64) for name, value in (("length", length), ("side", 16), ("overlap", overlap))
        }
        begins, tile = session.run(None, numbers)
        assert (tuple(begins.tolist()), int(tile)) == cover(length, 16, overlap), length


@pytest.mark.slow
@pytest.mark.parametrize("fields", [ONE_LAYER, LIKE_THE_SHIPPED], ids=["paper", "shipped"])
def test_other_architectures(fields, tmp_path):
    model = small_model(**fields)
    export_onnx(model, PROCESSOR, tmp_path, ["float32"])
    assert not (tmp_path / "model_int8.onnx").exists()
    images = np.random.default_rng(0).random((2, 45, 70), np.float32)
    assert np.abs(MaeFuseOnnx(tmp_path).fuse_luminance(*images) - luminance(model, *images)).max() < 1e-4


def test_the_graph_tells_nothing_of_the_machine(exported):
    _, folder = exported
    for path in folder.glob("*.onnx"):
        assert str(Path(torch.__file__).parent).encode() not in path.read_bytes()
        assert {node.domain for graph in graphs(onnx.load(path).graph) for node in graph.node} <= {"", "ai.onnx"}


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = sys.modules["transformers"] = None  # an import of them fails
sys.argv = sys.argv[1:]
import runpy
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run_script(folder, *arguments):
    command = [sys.executable, "-c", WITHOUT_TORCH, folder / "fuse_with_onnxruntime.py", *arguments]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=folder)


def test_the_script_needs_no_pytorch(exported, tmp_path):
    _, folder = exported
    for name, image in zip(("infrared", "visible"), render_example_pair(64, 80)):
        image.save(tmp_path / f"{name}.png")
    done = run_script(folder, tmp_path / "infrared.png", tmp_path / "visible.png", tmp_path / "fused.png")
    assert (done.returncode, done.stderr) == (0, "")
    expected = MaeFuseOnnx(folder).fuse(tmp_path / "infrared.png", tmp_path / "visible.png")
    assert np.array_equal(levels(Image.open(tmp_path / "fused.png")), levels(expected))


def test_what_cannot_be_fused_is_said(exported, tmp_path):
    _, folder = exported
    infrared, visible = render_example_pair(64, 80)
    infrared.save(tmp_path / "infrared.png")
    visible.resize((40, 30)).save(tmp_path / "visible.png")
    done = run_script(folder, tmp_path / "infrared.png", tmp_path / "visible.png", tmp_path / "fused.png")
    assert done.returncode == 1
    assert "infrared is 80x64 pixels, visible 40x30" in done.stderr and "resize" in done.stderr
    assert done.stderr.count("\n") == 1
    (tmp_path / "notes.png").write_text("hello")
    done = run_script(folder, tmp_path / "notes.png", tmp_path / "visible.png", tmp_path / "fused.png")
    assert done.returncode == 1 and "notes.png" in done.stderr and done.stderr.count("\n") == 1


def test_a_folder_that_is_no_export(exported, tmp_path):
    with pytest.raises(OSError, match=r"no ONNX export.*maefuse_onnx\.json.*maefuse export onnx"):
        MaeFuseOnnx(tmp_path)
    _, folder = exported
    with pytest.raises(OSError, match="no bfloat16; it has float32, float16, int8"):
        MaeFuseOnnx(folder, "bfloat16")
    (tmp_path / "maefuse_onnx.json").write_bytes((folder / "maefuse_onnx.json").read_bytes())
    with pytest.raises(OSError, match=r"model\.onnx is missing.*Export again"):
        MaeFuseOnnx(tmp_path)
    (tmp_path / "model.onnx").write_text("hello")
    with pytest.raises(OSError, match=r"model\.onnx cannot be read.*Export again"):
        MaeFuseOnnx(tmp_path)


def test_what_is_not_exported(tmp_path):
    with pytest.raises(ValueError, match="--native"):
        export_onnx(small_model(), MaeFuseImageProcessor(size_divisor=8, eight_bit=True), tmp_path)
    with pytest.raises(ValueError, match="--native"):
        export_onnx(small_model(), MaeFuseImageProcessor(size_divisor=8, size=64), tmp_path)
    with pytest.raises(ValueError, match=r"three tiles.*tile_overlap"):
        export_onnx(small_model(tile_size=4, tile_overlap=3), PROCESSOR, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_is_missing():
    around = composition.composition(composition.Composition(8, 4, 1, 4))
    with pytest.raises(ValueError, match="asks for"):
        assembled(around, {})


def test_the_extra_is_named(monkeypatch, capsys):
    from maefuse_hf.cli import export

    monkeypatch.setattr(export, "find_spec", lambda name: None if name == "onnxruntime" else object())
    assert main(["export", "onnx", "somewhere"]) == 1
    assert 'needs onnxruntime. Run pip install "maefuse-hf[onnx]"' in capsys.readouterr().err
