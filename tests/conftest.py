"""Small models and images that the tests share. Nothing here reads a network or a file outside the repository."""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
# several workers, and processes that they start, would wait for each other's threads
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pytest
import torch

from maefuse_hf import MaeFuseConfig, MaeFuseImageProcessor, MaeFuseModel

SMALL_ENCODER = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "image_size": 32,
    "patch_size": 8,
    "mask_ratio": 0.0,
}
SMALL_DECODER = {
    "decoder_hidden_size": 24,
    "decoder_num_hidden_layers": 2,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 48,
}

ONE_LAYER = {"encoder_config": {**SMALL_ENCODER, "num_hidden_layers": 1}, "decoder_num_hidden_layers": 1}
"""For what PyTorch's exporter reads, which takes seconds a layer."""

IN_TILES = {
    **ONE_LAYER,
    "source_detail_sigma": 2.0,
    "tile_size": 4,
    "tile_overlap": 1,
    "coarse_factor": 4,
    "coarse_sigma": 5.0,
}

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# a browser in a container has no sandbox, and speaks to its maker unless told not to
BROWSER_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def launch():
    """Starts Chromium with these options."""
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.fail(f"None of {', '.join(BROWSERS)} is on the PATH; see CONTRIBUTING.md.")
    with sync_playwright() as playwright:
        yield lambda *options: playwright.chromium.launch(executable_path=path, args=options)


@contextmanager
def watched_page(context, url: str, patience_ms: float):
    """The page at `url` in a browser's context. At the end: no other host was asked, and the console has no error."""
    page = context.new_page()
    page.set_default_timeout(patience_ms)
    elsewhere, errors = [], []
    context.on(
        "request", lambda asked: None if asked.url.startswith((url, "data:", "blob:")) else elsewhere.append(asked.url)
    )
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(url)
    yield page
    context.close()
    assert elsewhere == [] and errors == []


def small_config(**fields) -> MaeFuseConfig:
    """A configuration of a few thousand parameters, three channels, patch 8."""
    return MaeFuseConfig(**{"encoder_config": dict(SMALL_ENCODER), **SMALL_DECODER, **fields})


def small_model(**fields) -> MaeFuseModel:
    """A model of that configuration with random weights large enough for differences to show."""
    torch.manual_seed(0)
    model = MaeFuseModel(small_config(initializer_range=0.2, **fields)).eval()
    torch.nn.init.normal_(model.encoder.embeddings.cls_token)
    return model


def ramp(height: int, width: int) -> np.ndarray:
    """An image in which every pixel tells its place: one grey value more a row, two more a column."""
    return np.add.outer(np.arange(height), 2 * np.arange(width)).astype(np.uint8)


@pytest.fixture(scope="session")
def parquet_pairs(tmp_path_factory) -> str:
    """A glob of one Parquet file with six rendered pairs of 64x72."""
    return rendered_parquet(tmp_path_factory.mktemp("parquet"), files=1)


@pytest.fixture(scope="session")
def parquet_shards(tmp_path_factory) -> str:
    """The same six pairs in three files."""
    return rendered_parquet(tmp_path_factory.mktemp("shards"), files=3)


def rendered_parquet(folder: Path, files: int) -> str:
    """A glob of so many Parquet files in a folder, with six rendered pairs of 64x72 in all."""
    import datasets

    from maefuse_hf.example_scene.scene import render_example_pair

    infrared, visible = zip(*(render_example_pair(64, 72, seed=seed) for seed in range(6)))
    table = datasets.Dataset.from_dict({"infrared": list(infrared), "visible": list(visible)})
    for index in range(files):
        part = table.shard(num_shards=files, index=index)
        part.to_parquet(folder / f"train-{index:05}-of-{files:05}.parquet")
    return str(folder / "*.parquet")


@pytest.fixture
def images() -> tuple[torch.Tensor, torch.Tensor]:
    """Infrared and visible luminance, two pairs of 40x64."""
    generator = torch.Generator().manual_seed(1)
    infrared, visible = torch.rand(2, 2, 1, 40, 64, generator=generator)
    return infrared, visible


def onnx_of_a_sum(folder: Path, weight: float = 0.5, height_and_width=("height", "width")) -> Path:
    """An export whose graph gives weight · (infrared + visible), which is quick and can be computed by hand."""
    from onnx import TensorProto, checker, helper, numpy_helper, save

    from maefuse_hf.onnx_export.export import write_runner

    shape = ["batch", 1, *height_and_width]
    infrared, visible, fused = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("infrared", "visible", "fused")
    )
    nodes = [
        helper.make_node("Add", ["infrared", "visible"], ["sum"]),
        helper.make_node("Mul", ["sum", "weight"], ["fused"]),
    ]
    weights = [numpy_helper.from_array(np.float32(weight), "weight")]
    graph = helper.make_graph(nodes, "sum", [infrared, visible], [fused], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    checker.check_model(model)
    folder.mkdir(parents=True, exist_ok=True)
    save(model, folder / "model.onnx")
    write_runner(MaeFuseImageProcessor(), folder, ["float32"])
    return folder / "model.onnx"


@pytest.fixture(scope="session")
def exported(tmp_path_factory) -> tuple[MaeFuseModel, Path]:
    """A model that works in tiles, and the folder that `maefuse export onnx` makes of it."""
    from maefuse_hf.cli import main

    model, folder = small_model(**IN_TILES), tmp_path_factory.mktemp("export")
    model.save_pretrained(folder / "model")
    MaeFuseImageProcessor(size_divisor=8).save_pretrained(folder / "model")
    assert main(["export", "onnx", str(folder / "onnx"), "--model", str(folder / "model")]) == 0
    return model, folder / "onnx"
