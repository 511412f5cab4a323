"""The ONNX files of a model beside PyTorch: grey levels, quality and processor time, in one table.

    maefuse export onnx runs/onnx
    python benchmarks/onnx_parity.py --onnx runs/onnx --dataset data/pairs/test/TNO data/pairs/test/MSRS \\
        --document docs/onnx.md

Grey levels are compared on rendered pairs of several sizes and on pairs of the data sets, on which the six metrics that
pairs are ranked by are measured too; beside each mean, how far it lies from PyTorch's on the worst pair. Processor time
is of one thread and a pair of the data sets, in multiples of PyTorch's, the median over the pairs. With `--kinds` the
share of VIF and Qabf that damaged pairs keep is measured as well.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from benchmarks.marked_block import replace_block
from benchmarks.named_pairs import named_pairs
from maefuse_hf.evaluation.damage import DAMAGES
from maefuse_hf.evaluation.robustness import SHARE, DamageRow, measure_damage, shares_kept
from maefuse_hf.evaluation.runner import as_tensor, read_sources
from maefuse_hf.evaluation.summary import RANKING_METRICS
from maefuse_hf.evaluation.table import as_markdown, table_of
from maefuse_hf.example_scene import render_example_pair
from maefuse_hf.inference import fuse_pair, load_checkpoint
from maefuse_hf.inference.pairs import PairPaths, evenly_spread
from maefuse_hf.metrics import fusion_metrics
from maefuse_hf.onnx_export import MaeFuseOnnx

PYTORCH = "PyTorch"
SIZES = ["641x479", "500x90", "91x67"]
CPU = torch.device("cpu")

Fuse = Callable[[Image.Image, Image.Image], Image.Image]


class Runtime:
    """One way to run the model, as `measure_damage` takes it, and what was measured of it.

    Attributes:
        differences: from PyTorch's images, in values of 255: the mean and the greatest of each image.
        seconds: of the processor, for each pair.
        values: of each metric, for each pair.
    """

    def __init__(self, name: str, fuse: Fuse, megabytes: float) -> None:
        self.name, self.fuse_images, self.megabytes = name, fuse, megabytes
        self.differences: list[tuple[float, int]] = []
        self.seconds: list[float] = []
        self.values: dict[str, list[float]] = defaultdict(list)


def runtimes(model: str | None, onnx: Path) -> list[Runtime]:
    """PyTorch first, then every precision of the folder, each on one thread."""
    torch.set_num_threads(1)
    network, processor = load_checkpoint(model, device="cpu")
    size = sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
    ways = [Runtime(PYTORCH, lambda *pair: fuse_pair(network, processor, *pair).image, size / 1e6)]
    for precision, file in MaeFuseOnnx(onnx).settings["files"].items():
        runner = MaeFuseOnnx(onnx, precision, threads=1)
        ways.append(Runtime(f"ONNX {precision}", runner.fuse, (onnx / file).stat().st_size / 1e6))
    return ways


def compare(ways: list[Runtime], pair: tuple[Image.Image, Image.Image]) -> list[Image.Image]:
    """The pair's image by each of the ways; notes how far they lie apart, and gives them back."""
    images, seconds = [], []
    for way in ways:
        started = time.process_time()
        images.append(way.fuse_images(*pair))
        seconds.append(time.process_time() - started)
    first, *_ = arrays = [np.asarray(image).astype(int) for image in images]
    for way, array, taken in zip(ways, arrays, seconds, strict=True):
        difference = abs(array - first)
        way.differences.append((float(difference.mean()), int(difference.max())))
        way.seconds.append(taken)
    return images


def measure(ways: list[Runtime], pair: PairPaths) -> None:
    """Images and metrics of one pair."""
    sources = read_sources(pair)
    trio = [as_tensor(image, CPU) for image in sources.values()]
    for way, image in zip(ways, compare(ways, tuple(sources.values())), strict=True):  # type: ignore[arg-type]
        values = fusion_metrics(as_tensor(image, CPU), *trio)
        for metric in RANKING_METRICS:
            way.values[metric].append(values[metric].item())


def shares(ways: list[Runtime], pairs: list[PairPaths], kinds: list[str]) -> list[DamageRow]:
    """The shares that pairs keep when they are damaged."""
    rows = []
    for pair in tqdm(pairs, desc="damage", unit="pair"):
        measured, problems = measure_damage("pairs", pair, ways, kinds, CPU)  # type: ignore[arg-type]
        if problems:
            raise ValueError("\n".join(problems))
        rows += measured
    return shares_kept(rows)


def table(ways: list[Runtime], kept: list[DamageRow]) -> str:
    """What was measured, in Markdown."""
    metrics = [metric for metric in RANKING_METRICS if metric in ways[0].values]
    head = ["runtime", "MB", "processor time", "mean difference", "greatest difference", *metrics]
    rows = []
    for way in ways:
        means, greatest = zip(*way.differences)
        ratio = np.median(np.divide(way.seconds, ways[0].seconds))
        row = [way.name, f"{way.megabytes:.1f}", f"{ratio:.2f}", f"{np.mean(means):.3f}", f"{max(greatest)}"]
        for metric in metrics:
            apart = abs(np.subtract(way.values[metric], ways[0].values[metric])).max()
            worst = "" if way is ways[0] else f" (±{apart:.4f})"
            row.append(f"{np.mean(way.values[metric]):.4f}{worst}")
        rows.append(row)
    if kept:
        head.append(SHARE)
        for way, row in zip(ways, rows, strict=True):
            row.append(f"{np.mean([each.values[SHARE] for each in kept if each.system == way.name]):.4f}")
    return as_markdown(table_of(head, rows))


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the ONNX files of a model with PyTorch.")
    parser.add_argument("--onnx", type=Path, required=True, metavar="DIR", help="folder of `maefuse export onnx`")
    parser.add_argument("--model", help="the checkpoint that was exported; default: the one that ships")
    parser.add_argument("--sizes", nargs="*", default=SIZES, help="width x height of rendered pairs")
    parser.add_argument(
        "--dataset", type=Path, nargs="+", default=[], metavar="DIR", help="pairs, as `maefuse evaluate` takes it"
    )
    parser.add_argument("--names", type=Path, metavar="TXT", help="names of the pairs to take, one a line; else all")
    parser.add_argument("--pairs", type=int, default=2, help="how many of each data set, spread evenly")
    parser.add_argument("--kinds", nargs="*", choices=DAMAGES, default=[], help="damages; default: none")
    parser.add_argument("--document", type=Path, metavar="FILE", help="where the table goes, between its marks")
    options = parser.parse_args()

    ways = runtimes(options.model, options.onnx)
    for size in tqdm(options.sizes, desc="sizes", unit="size"):
        width, height = map(int, size.split("x"))
        compare(ways, render_example_pair(height, width))
    if options.dataset:
        for way in ways:
            way.seconds.clear()  # rendered pairs filled caches
    pairs: list[PairPaths] = []
    for folder in options.dataset:
        pairs += evenly_spread(named_pairs(folder, options.names), options.pairs)
    for pair in tqdm(pairs, desc="pairs", unit="pair"):
        measure(ways, pair)
    text = table(ways, shares(ways, pairs, options.kinds) if options.kinds else [])
    where = ", ".join(folder.name for folder in options.dataset) or "no data set"
    about = f"{len(pairs)} pairs ({where}), and rendered pairs of {', '.join(options.sizes)} for the differences."
    print(f"{about}\n\n{text}")
    if options.document:
        replace_block(options.document, "parity", f"{about}\n\n{text}")


if __name__ == "__main__":
    main()
