"""The ONNX files of a model beside PyTorch: grey levels, quality and seconds, in one table.

    maefuse export onnx runs/onnx
    python benchmarks/onnx_parity.py --onnx runs/onnx --dataset data/pairs/train --names splits/validation.txt

Grey levels are compared on rendered pairs of several sizes; VIF, Qabf and the share of them that damaged pairs keep on
pairs of the data set. Seconds are of the first size, the least of some rounds that take turns.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from maefuse_hf.evaluation.damage import DAMAGES
from maefuse_hf.evaluation.robustness import SHARE, UNDAMAGED, DamageRow, measure_damage, shares_kept
from maefuse_hf.evaluation.table import as_markdown, table_of
from maefuse_hf.example_scene import render_example_pair
from maefuse_hf.inference import fuse_pair, load_checkpoint
from maefuse_hf.inference.pairs import PairPaths, find_pairs
from maefuse_hf.onnx_export import MaeFuseOnnx

PYTORCH = "PyTorch"
SIZES = ["640x480", "641x479", "1280x1024", "500x90", "91x67"]
KINDS = ["infrared-noise", "haze"]

Fuse = Callable[[Image.Image, Image.Image], Image.Image]


class Runtime:
    """One way to run the model, as `measure_damage` takes it."""

    def __init__(self, name: str, fuse: Fuse, megabytes: float) -> None:
        self.name, self.fuse_images, self.megabytes = name, fuse, megabytes


def runtimes(model: str | None, onnx: Path) -> list[Runtime]:
    """PyTorch first, then every precision of the folder."""
    network, processor = load_checkpoint(model, device="cpu")
    size = sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
    ways = [Runtime(PYTORCH, lambda *pair: fuse_pair(network, processor, *pair).image, size / 1e6)]
    for precision, file in MaeFuseOnnx(onnx).settings["files"].items():
        ways.append(Runtime(f"ONNX {precision}", MaeFuseOnnx(onnx, precision).fuse, (onnx / file).stat().st_size / 1e6))
    return ways


def grey_levels(ways: list[Runtime], sizes: list[str]) -> dict[str, tuple[float, int]]:
    """Of each way: the mean and the greatest difference from PyTorch's image, in values of 255."""
    differences: dict[str, list[np.ndarray]] = {way.name: [] for way in ways}
    for size in tqdm(sizes, desc="grey levels", unit="size"):
        width, height = map(int, size.split("x"))
        images = [np.asarray(way.fuse_images(*render_example_pair(height, width))).astype(int) for way in ways]
        for way, image in zip(ways, images):
            differences[way.name].append(np.abs(image - images[0]).ravel())
    return {
        name: (float(np.mean([d.mean() for d in each])), max(d.max() for d in each))
        for name, each in differences.items()
    }


def seconds(ways: list[Runtime], size: str, rounds: int) -> dict[str, float]:
    """The least seconds of each way; the first round is for caches alone."""
    width, height = map(int, size.split("x"))
    pair = render_example_pair(height, width)
    taken: dict[str, list[float]] = {way.name: [] for way in ways}
    for number in tqdm(range(rounds + 1), desc="seconds", unit="round"):
        for way in ways:
            started = time.perf_counter()
            way.fuse_images(*pair)
            if number:
                taken[way.name].append(time.perf_counter() - started)
    return {name: min(values) for name, values in taken.items()}


def quality(ways: list[Runtime], pairs: list[PairPaths], kinds: list[str]) -> list[DamageRow]:
    """VIF and Qabf of the pairs, undamaged and damaged."""
    rows = []
    for pair in tqdm(pairs, desc="quality", unit="pair"):
        measured, problems = measure_damage("pairs", pair, ways, kinds, torch.device("cpu"))  # type: ignore[arg-type]
        if problems:
            raise ValueError("\n".join(problems))
        rows += measured
    return rows


def mean(rows: list[DamageRow], system: str, metric: str) -> float:
    """The mean of a metric over the rows of one system."""
    return float(np.mean([row.values[metric] for row in rows if row.system == system]))


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the ONNX files of a model with PyTorch.")
    parser.add_argument("--onnx", type=Path, required=True, metavar="DIR", help="folder of `maefuse export onnx`")
    parser.add_argument("--model", help="the checkpoint that was exported; default: the one that ships")
    parser.add_argument(
        "--sizes", nargs="+", default=SIZES, help="width x height of rendered pairs; the first is timed"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dataset", type=Path, metavar="DIR", help="pairs for VIF and Qabf; none without it")
    parser.add_argument("--names", type=Path, metavar="TXT", help="names of the pairs to take, one a line; else all")
    parser.add_argument("--pairs", type=int, default=4, help="how many, spread evenly")
    parser.add_argument("--kinds", nargs="+", choices=DAMAGES, default=KINDS, help="damages")
    options = parser.parse_args()

    ways = runtimes(options.model, options.onnx)
    levels = grey_levels(ways, options.sizes)
    took = seconds(ways, options.sizes[0], options.rounds)
    head = ["runtime", "MB", f"seconds, {options.sizes[0]}", "mean difference", "greatest difference"]
    rows = [
        [way.name, f"{way.megabytes:.1f}", f"{took[way.name]:.2f}", *(f"{value:.3g}" for value in levels[way.name])]
        for way in ways
    ]
    if options.dataset:
        pairs, _ = find_pairs(options.dataset)
        wanted = set(options.names.read_text().split()) if options.names else {pair.name for pair in pairs}
        chosen = [pair for pair in pairs if pair.name in wanted]
        measured = quality(ways, chosen[:: max(1, len(chosen) // options.pairs)][: options.pairs], options.kinds)
        whole, kept = [row for row in measured if row.kind == UNDAMAGED], shares_kept(measured)
        head += ["VIF", "Qabf", f"share kept, {len(options.kinds)} damages"]
        for row in rows:
            row += [
                f"{mean(whole, row[0], 'VIF'):.4f}",
                f"{mean(whole, row[0], 'Qabf'):.4f}",
                f"{mean(kept, row[0], SHARE):.4f}",
            ]
    print(f"{torch.get_num_threads()} threads; differences in grey levels of {', '.join(options.sizes)}\n")
    print(as_markdown(table_of(head, rows)))


if __name__ == "__main__":
    main()
