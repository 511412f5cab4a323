"""Measure a model on folders of pairs: mean fusion metrics, and how well the decoder gives single pictures back.

    python training/evaluate.py FOLDER [FOLDER …] --output DIR [--model M]

A folder holds pairs as `training/data.py` reads them. DIR gets `metrics.csv` (a row for each picture), `metrics.md`
(the means; rows for the average, the maximum and the single pictures stand beside the model) and, under each folder's
name, infrared, visible and fused side by side.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from maefuse_hf.checkpoint import load_checkpoint
from maefuse_hf.metrics import fusion_metrics
from maefuse_hf.side_by_side import side_by_side
from training.data import find_pairs

DECODER_PSNR = "decoder PSNR"


def luminance(picture: Image.Image) -> Tensor:
    """Y of BT.601, rounded, as `(1, 1, H, W)` uint8."""
    return torch.from_numpy(np.array(picture.convert("L")))[None, None]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a model on folders of infrared and visible pairs.")
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--model", help="folder or Hub name; default: the checkpoint that ships")
    parser.add_argument("--device", help="default: a CUDA device if there is one")
    options = parser.parse_args()

    model, processor = load_checkpoint(options.model, options.device)
    rows: list[dict[str, str | float]] = []
    for folder in options.folders:
        (options.output / folder.name).mkdir(parents=True, exist_ok=True)
        for pair in tqdm(find_pairs(folder), desc=folder.name, unit="pair"):
            inputs = processor(infrared=pair.infrared, visible=pair.visible, return_tensors="pt").to(model.device)
            with torch.inference_mode():
                outputs = model(**inputs)
                pictures = torch.cat([inputs["infrared"], inputs["visible"]])
                features = torch.cat([outputs.infrared_features, outputs.visible_features])
                restored = model.decode(features, model.patch_grid(pictures)).clamp(0, 1)
            fused = processor.post_process_image_fusion(outputs, inputs)[0]
            # measured on the fused luminance itself: the colour picture clips it where its colours are saturated
            height, width = inputs["original_sizes"][0].tolist()
            fused_y = (outputs.fused[..., :height, :width] * 255).round().to(torch.uint8).cpu()
            with Image.open(pair.infrared) as infrared_picture, Image.open(pair.visible) as visible_picture:
                infrared_y, visible_y = luminance(infrared_picture), luminance(visible_picture)
                row = {"infrared": infrared_picture, "visible": visible_picture, "fused": fused}
                side_by_side(row).save(options.output / folder.name / f"{pair.name}.png")
            average = (infrared_y.double() + visible_y.double()).div(2).round().to(torch.uint8)
            systems = {
                "model": fused_y,
                "average": average,
                "maximum": torch.maximum(infrared_y, visible_y),
                "infrared alone": infrared_y,
                "visible alone": visible_y,
            }
            for system, picture in systems.items():
                metrics = fusion_metrics(picture, infrared_y, visible_y, allow_undefined=True)
                values = {name: value.item() for name, value in metrics.items()}
                rows.append({"set": folder.name, "pair": pair.name, "system": system, **values})
            error = (restored - pictures)[..., :height, :width].square().mean(dim=(1, 2, 3))
            rows[-len(systems)][DECODER_PSNR] = (-10 * error.log10()).mean().item()

    names = [name for name in rows[0] if name not in ("set", "pair", "system")]
    with (options.output / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["set", "pair", "system", *names])
        writer.writeheader()
        writer.writerows(rows)
    lines = [f"| set | system | {' | '.join(names)} |", f"|---|---|{'---|' * len(names)}"]
    for key in dict.fromkeys((row["set"], row["system"]) for row in rows):
        chosen = [row for row in rows if (row["set"], row["system"]) == key]
        means = (np.mean([float(row.get(name, np.nan)) for row in chosen]) for name in names)
        cells = ("–" if np.isnan(mean) else f"{mean:.3f}" for mean in means)
        lines.append(f"| {' | '.join(map(str, key))} | {' | '.join(cells)} |")
    table = "\n".join(lines) + "\n"
    (options.output / "metrics.md").write_text(table)
    print(table)


if __name__ == "__main__":
    main()
