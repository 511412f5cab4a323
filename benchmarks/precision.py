"""Ways to run a model faster, beside float32 in PyTorch: processor time, seconds, grey levels, VIF, Qabf and seams.

    maefuse export onnx runs/onnx
    python benchmarks/precision.py --dataset DIR --names splits/validation.txt --every 8 --onnx runs/onnx \\
        --overlap 1 0 --compile --document docs/command-line.md

Each pair is fused in all ways one after the other, on one thread, so that what else the machine does meets all of them.
Processor seconds count for the ratio, not those of a clock. Grey levels are those of the luminance in 8 bits. Also says
how much larger a step between neighbouring pixels is where a tile begins or ends than elsewhere, over the same in the
visible image, since JPEG blocks end there too: 1 is no seam.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from benchmarks.marked_block import replace_block
from benchmarks.named_pairs import named_pairs
from maefuse_hf import MaeFuseModel
from maefuse_hf.cli.options import DTYPES
from maefuse_hf.colour import luminance_8_bit
from maefuse_hf.evaluation.runner import read_sources
from maefuse_hf.inference import PairPaths, fuse_pair, load_checkpoint
from maefuse_hf.metrics import fusion_metrics
from maefuse_hf.onnx_export import MaeFuseOnnx
from maefuse_hf.tiles import Tiles

METRICS = ("VIF", "Qabf")


@dataclass
class Way:
    """A way to run the model, and what was measured of it: a value for each pair."""

    name: str
    fuse: Callable[[PairPaths], Image.Image]
    model: MaeFuseModel
    processor_seconds: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    levels: list[Tensor] = field(default_factory=list)
    quality: list[list[float]] = field(default_factory=list)
    seams: list[tuple[float, ...]] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare ways to run a model faster.")
    parser.add_argument("--dataset", type=Path, required=True, help="folder of pairs, as `maefuse evaluate` takes it")
    parser.add_argument("--names", type=Path, help="file of the pairs' names; default: all")
    parser.add_argument("--every", type=int, default=1, help="take every such pair of them")
    parser.add_argument("--precision", nargs="+", default=["float32", "bfloat16"], choices=DTYPES)
    parser.add_argument("--overlap", type=int, nargs="+", default=[], help="other values of `tile_overlap` in each")
    parser.add_argument(
        "--compile", action="store_true", help="the network by torch.compile as well, in each precision"
    )
    parser.add_argument("--onnx", type=Path, metavar="DIR", help="folder of `maefuse export onnx`, run as well")
    parser.add_argument("--model", help="folder or Hub name; default: the checkpoint that ships")
    parser.add_argument("--document", type=Path, metavar="FILE", help="where the table goes, between its marks")
    options = parser.parse_args()
    torch.set_num_threads(1)
    pairs = named_pairs(options.dataset, options.names)[:: options.every]
    ways = [in_pytorch(options.model, precision) for precision in options.precision]
    ways += [
        in_pytorch(options.model, precision, overlap) for precision in options.precision for overlap in options.overlap
    ]
    if options.compile:
        ways += [in_pytorch(options.model, precision, compiled=True) for precision in options.precision]
    if options.onnx:
        ways += in_onnxruntime(options.onnx, ways[0].model)
    for way in ways:
        way.fuse(pairs[0])  # compiled, and caches filled
    for pair in tqdm(pairs, unit="pair"):
        measure(ways, pair)
    text = table(ways, len(pairs))
    print(text)
    if options.document:
        replace_block(options.document, "precision", text)


def in_pytorch(name: str | None, precision: str, overlap: int | None = None, compiled: bool = False) -> Way:
    """The model by PyTorch."""
    model, processor = load_checkpoint(name, "cpu", DTYPES[precision])
    words = [precision]
    if overlap is not None:
        model.config.tile_overlap = overlap
        words.append(f"overlap {overlap}")
    if compiled:
        model.fuse_tiles = torch.compile(model.fuse_tiles, dynamic=False)
        words.append("compiled")
    return Way(", ".join(words), lambda pair: fuse_pair(model, processor, pair.infrared, pair.visible).image, model)


def in_onnxruntime(folder: Path, model: MaeFuseModel) -> list[Way]:
    """An export in all precisions that it has, on one thread as PyTorch."""
    ways = []
    threads = onnxruntime.SessionOptions()
    threads.intra_op_num_threads = torch.get_num_threads()
    for precision, file in MaeFuseOnnx(folder).settings["files"].items():
        runner = MaeFuseOnnx(folder, precision)
        runner.session = onnxruntime.InferenceSession(folder / file, threads)
        ways.append(
            Way(f"onnxruntime, {precision}", lambda pair, run=runner.fuse: run(pair.infrared, pair.visible), model)
        )
    return ways


def measure(ways: list[Way], pair: PairPaths) -> None:
    """One pair in all ways."""
    sources = [grey(image) for image in read_sources(pair).values()]
    first = None
    for way in ways:
        started = time.process_time(), time.perf_counter()
        image = way.fuse(pair)
        way.processor_seconds.append(time.process_time() - started[0])
        way.seconds.append(time.perf_counter() - started[1])
        fused = grey(image)
        first = fused if first is None else first
        way.levels.append((fused.float() - first.float()).abs())
        size, patch = fused.shape[-2:], way.model.patch_size
        tiles = way.model.tiles((-(-size[0] // patch), -(-size[1] // patch)))
        way.seams.append(sum((steps(shown.float(), tiles, patch) for shown in (fused, sources[1])), ()))
        values = fusion_metrics(fused, *sources)
        way.quality.append([values[metric].item() for metric in METRICS])


def table(ways: list[Way], pairs: int) -> str:
    """What was measured, in Markdown: means, and of the time the median of the ratios."""
    lines = [
        f"| way | processor time | seconds | grey levels, mean | most | {' | '.join(METRICS)} | seam |",
        "|---" * (6 + len(METRICS)) + "|",
    ]
    for way in ways:
        ratio = statistics.median(one / other for one, other in zip(way.processor_seconds, ways[0].processor_seconds))
        mean = statistics.mean(each.mean().item() for each in way.levels)
        most = max(each.max().item() for each in way.levels)
        at_borders, elsewhere, own_at_borders, own_elsewhere = np.mean(way.seams, axis=0)
        seam = at_borders / elsewhere / (own_at_borders / own_elsewhere)
        quality = " | ".join(f"{value:.4f}" for value in np.mean(way.quality, axis=0))
        took = f"{ratio:.2f} | {statistics.median(way.processor_seconds):.2f}"
        lines.append(f"| {way.name} | {took} | {mean:.2f} | {most:.0f} | {quality} | {seam:.3f} |")
    busy = statistics.median(
        wall / own for way in ways for wall, own in zip(way.seconds, way.processor_seconds, strict=True)
    )
    lines.append(
        f"\n{pairs} pairs, one thread; processor time in multiples of the first way's, seconds of the processor. By "
        f"the clock it took {busy:.1f} times as long, for what else the machine did."
    )
    return "\n".join(lines)


def grey(image: Image.Image) -> Tensor:
    """An image as what metrics take: (1, 1, H, W) uint8 luminance."""
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
