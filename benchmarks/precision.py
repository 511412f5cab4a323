"""What a lower precision of the weights costs and gains: processor time, grey levels, VIF and Qabf beside float32.

    python benchmarks/precision.py --dataset DIR --names splits/validation.txt --every 12

Each pair is fused in all precisions one after the other, on one thread. Processor seconds count, not those of a clock,
so that what else the machine does matters little. Also says how much larger a step between neighbouring pixels is where
a tile begins or ends than elsewhere, over the same in the visible image, since JPEG blocks end there too: 1 is no seam.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from maefuse_hf.cli.options import DTYPES
from maefuse_hf.colour import luminance_8_bit
from maefuse_hf.image_processing_maefuse import load_rgb
from maefuse_hf.inference import find_pairs, fuse_pair, load_checkpoint
from maefuse_hf.metrics import fusion_metrics
from maefuse_hf.tiles import Tiles

METRICS = ("VIF", "Qabf")


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare precisions of the weights.")
    parser.add_argument("--dataset", type=Path, required=True, help="folder of pairs, as `maefuse evaluate` takes it")
    parser.add_argument("--names", type=Path, help="file of the pairs' names; default: all")
    parser.add_argument("--every", type=int, default=1, help="take every such pair of them")
    parser.add_argument("--precision", nargs="+", default=["float32", "bfloat16"], choices=DTYPES)
    parser.add_argument("--model", help="folder or Hub name; default: the checkpoint that ships")
    options = parser.parse_args()
    torch.set_num_threads(1)
    by_name = {pair.name: pair for pair in find_pairs(options.dataset)[0]}
    names = options.names.read_text().split() if options.names else list(by_name)
    pairs = [by_name[name] for name in names if name in by_name][:: options.every]
    models = {name: load_checkpoint(options.model, "cpu", DTYPES[name]) for name in options.precision}

    seconds: dict[str, list[float]] = {name: [] for name in models}
    levels: dict[str, list[Tensor]] = {name: [] for name in models}
    measured: dict[str, list[list[float]]] = {name: [] for name in models}
    seams: dict[str, list[tuple[float, ...]]] = {name: [] for name in models}
    for pair in tqdm(pairs, unit="pair"):
        first = None
        for name, (model, processor) in models.items():
            started = time.process_time()
            fused = fuse_pair(model, processor, pair.infrared, pair.visible)
            seconds[name].append(time.process_time() - started)
            first = fused.outputs.fused if first is None else first
            levels[name].append((fused.outputs.fused - first).abs() * 255)
            tiles = model.tiles(model.patch_grid(first))
            shown = fused.outputs.fused, fused.inputs["visible"]
            seams[name].append(sum((steps(image, tiles, model.patch_size) for image in shown), ()))
            files = pair.infrared, pair.visible
            sources = [grey(load_rgb(path, path.name, None, processor.percentiles)) for path in files]
            values = fusion_metrics(grey(np.moveaxis(np.asarray(fused.image), -1, 0) / 255), *sources)
            measured[name].append([values[metric].item() for metric in METRICS])
    print(
        f"{len(pairs)} pairs\n| precision | processor time | grey levels, mean | most | {' | '.join(METRICS)} | seam |"
    )
    print("|---" * (5 + len(METRICS)) + "|")
    for name in models:
        ratio = statistics.median(one / other for one, other in zip(seconds[name], seconds[options.precision[0]]))
        mean = statistics.mean(each.mean().item() for each in levels[name])
        most = max(each.max().item() for each in levels[name])
        at_borders, elsewhere, own_at_borders, own_elsewhere = np.mean(seams[name], axis=0)
        seam = at_borders / elsewhere / (own_at_borders / own_elsewhere)
        quality = " | ".join(f"{value:.4f}" for value in np.mean(measured[name], axis=0))
        print(f"| {name} | {ratio:.2f} | {mean:.2f} | {most:.1f} | {quality} | {seam:.3f} |")


def grey(rgb: np.ndarray) -> Tensor:
    """(3, H, W) in [0, 1] as what metrics take: (1, 1, H, W) uint8 luminance."""
    image = Image.fromarray(np.rint(np.moveaxis(rgb, 0, -1) * 255).astype(np.uint8))
    return torch.from_numpy(luminance_8_bit(image))[None, None]


def steps(fused: Tensor, tiles: Tiles, cell: int) -> tuple[float, float]:
    """Mean difference of neighbouring pixels where a tile begins or ends, and elsewhere, in (1, 1, H, W)."""
    at_borders, elsewhere = [], []
    for dim, begins, side in ((-2, tiles.tops, tiles.height), (-1, tiles.lefts, tiles.width)):
        lines = fused.diff(dim=dim).abs().transpose(dim, -1).flatten(0, -2).mean(dim=0)
        borders = {begin * cell for begin in begins[1:]} | {(begin + side) * cell for begin in begins[:-1]}
        here = torch.zeros_like(lines, dtype=torch.bool)
        here[[border - 1 for border in borders]] = True
        at_borders.append(lines[here])
        elsewhere.append(lines[~here])
    return torch.cat(at_borders).mean().item(), torch.cat(elsewhere).mean().item()


if __name__ == "__main__":
    main()
