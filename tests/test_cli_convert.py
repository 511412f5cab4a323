import json
import re

import foreign_checkpoints as foreign
import numpy as np
import pytest
import torch
from PIL import Image

from maefuse_hf import MaeFuseImageProcessor, MaeFuseModel
from maefuse_hf.cli import main
from maefuse_hf.example_scene.scene import render_example_pair
from maefuse_hf.inference.pair_fusion import fuse_pair

HEADS = ["--encoder-heads", "6", "--decoder-heads", "3"]


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "official.pth"
    torch.save({"model": foreign.official()}, path)
    return path


def convert(*arguments):
    return main(["convert", *map(str, arguments)])


def test_the_folder_fuses_images(checkpoint, tmp_path, capsys):
    out = tmp_path / "new" / "converted"
    assert convert(checkpoint, out, *HEADS) == 0
    said = capsys.readouterr().out
    assert re.search(r"48 wide.* 3 .* 6 heads.* 8.*24 wide.* 1 .* 3 heads", said)
    assert "stretched to 40×40" in said and f"--model {out}" in said
    pair = render_example_pair(64, 80)
    for image, name in zip(pair, ("thermal.png", "photo.png")):
        image.save(tmp_path / name)
    command = ["fuse", str(tmp_path / "thermal.png"), str(tmp_path / "photo.png"), "-o", str(tmp_path / "fused.png")]
    assert main([*command, "--model", str(out), "--device", "cpu"]) == 0
    model, processor = MaeFuseModel.from_pretrained(out).eval(), MaeFuseImageProcessor.from_pretrained(out)
    expected = np.asarray(fuse_pair(model, processor, *pair).image, int)
    assert np.abs(np.asarray(Image.open(tmp_path / "fused.png"), int) - expected).max() <= 1


def test_native_and_token_attention(checkpoint, tmp_path, capsys):
    assert convert(checkpoint, tmp_path / "out", *HEADS, "--native", "--fusion-attention", "global") == 0
    assert "of any size at their own" in capsys.readouterr().out
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["fusion_attention"], config["fusion_num_attention_heads"]) == ("global", 16)
    assert MaeFuseImageProcessor.from_pretrained(tmp_path / "out").size is None


def test_parts_in_two_files(tmp_path):
    files = [tmp_path / "encoder_decoder.pth", tmp_path / "fusion.pth"]
    for file, part in zip(files, (foreign.autoencoder(), foreign.fusion_layer())):
        torch.save({"model": part}, file)
    assert convert(*files, tmp_path / "out", *HEADS) == 0
    assert (tmp_path / "out" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.pth", "out", *HEADS], "nothing.pth: there is no such file"),
        (
            ["official.pth", "out"],
            "stands in no tensor. Give it as encoder_heads (on the command line --encoder-heads)",
        ),
        (["official.pth", "taken", *HEADS], "holds a model already; choose another folder"),
        (["official.pth", "official.pth/out", *HEADS], "Cannot make the folder"),
        (["half.pth", "out", *HEADS], "missing: model2."),
    ],
)
def test_what_cannot_work_is_said_and_nothing_is_written(checkpoint, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "config.json").write_text("{}")
    torch.save({"model": foreign.autoencoder()}, tmp_path / "half.pth")
    before = sorted(tmp_path.rglob("*"))
    assert convert(*arguments) == 1
    assert message in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before
