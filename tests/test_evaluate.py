import csv
import sys

import numpy as np
import pytest
import torch
from conftest import small_model
from PIL import Image

from maefuse_hf import MaeFuseImageProcessor
from maefuse_hf.example_scene import render_example_pair
from maefuse_hf.metrics import fusion_metrics
from training import evaluate


@pytest.fixture
def evaluated(tmp_path, monkeypatch):
    """A folder of two pairs, measured with a small random model."""
    for half in ("infrared", "visible"):
        (tmp_path / "scenes" / half).mkdir(parents=True)
    for seed in range(2):
        infrared, visible = render_example_pair(64, 75, seed=seed)
        infrared.save(tmp_path / "scenes" / "infrared" / f"{seed}.png")
        visible.save(tmp_path / "scenes" / "visible" / f"{seed}.png")
    small_model().save_pretrained(tmp_path / "model")
    MaeFuseImageProcessor(size_divisor=8).save_pretrained(tmp_path / "model")
    command = ["evaluate.py", tmp_path / "scenes", "--output", tmp_path / "out", "--model", tmp_path / "model"]
    monkeypatch.setattr(sys, "argv", [*map(str, command), "--device", "cpu"])
    evaluate.main()
    with (tmp_path / "out" / "metrics.csv").open() as file:
        return tmp_path, list(csv.DictReader(file))


def test_each_picture_and_system_has_a_row(evaluated):
    folder, rows = evaluated
    systems = ["model", "average", "maximum", "infrared alone", "visible alone"]
    assert [(row["pair"], row["system"]) for row in rows] == [(str(k), s) for k in range(2) for s in systems]
    assert sorted(path.name for path in (folder / "out" / "scenes").iterdir()) == ["0.png", "1.png"]


def test_rows_hold_the_metrics_of_the_rounded_luminance(evaluated):
    folder, rows = evaluated
    pictures = [Image.open(folder / "scenes" / half / "0.png").convert("L") for half in ("infrared", "visible")]
    infrared, visible = (torch.from_numpy(np.array(picture))[None, None] for picture in pictures)
    average = ((infrared.double() + visible.double()) / 2).round().to(torch.uint8)
    maximum = torch.maximum(infrared, visible)
    for row, fused in ((rows[1], average), (rows[2], maximum)):
        for name, value in fusion_metrics(fused, infrared, visible, allow_undefined=True).items():
            assert row[name] == str(value.item())
    assert rows[0]["decoder PSNR"] and not rows[1]["decoder PSNR"]


def test_the_table_holds_the_means(evaluated):
    folder, rows = evaluated
    table = (folder / "out" / "metrics.md").read_text().splitlines()
    cells = [cell.strip() for cell in table[2].strip("|").split("|")]
    assert cells[:2] == ["scenes", "model"]
    mean = np.mean([float(row["EN"]) for row in rows if row["system"] == "model"])
    assert cells[2] == f"{mean:.3f}"
