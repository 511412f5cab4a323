"""Images a second of folder runs, one pair after the other and several at once, beside the machine's own speed.

    python benchmarks/throughput.py --pairs 12 --size 640x480

Takes turns between the ways within one call, so that what else the machine does meets all of them. The percentage is
the model's floating-point operations a second over those of a large float32 matrix product, which is measured in the
same rounds: 100 % would be a run that does nothing else. `--precision` compares precisions of the weights as well.
"""

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from maefuse_hf.cli import main as maefuse
from maefuse_hf.example_scene import render_example_pair
from maefuse_hf.inference import fuse_pair, load_checkpoint

MATRIX_SIDE = 2048


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how many pairs a second a folder run fuses.")
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--size", default="640x480", help="width x height")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--precision", nargs="+", default=["float32"], help="of the weights, as --dtype")
    parser.add_argument("--model", help="folder or Hub name; default: the checkpoint that ships")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    ways = [(workers, precision) for precision in options.precision for workers in options.workers]
    rates: dict[tuple[int, str], list[float]] = {way: [] for way in ways}
    matrix_rates = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pair = write_pairs(folder, options.pairs, height, width)
        operations = operations_of_a_pair(options.model, pair)
        for _ in range(options.rounds):
            matrix_rates.append(matrix_rate())
            for way in ways:
                rates[way].append(options.pairs / seconds_of_a_run(folder, options.model, *way))
    machine = statistics.median(matrix_rates)
    threads, per_pair, per_second = torch.get_num_threads(), operations / 1e9, machine / 1e9
    print(f"{threads} threads, {per_pair:.0f} GFLOP a pair, {per_second:.0f} GFLOP/s in products")
    print("| workers | precision | pairs a second | against the first | of the machine's rate |\n|---|---|---|---|---|")
    for workers, precision in ways:
        each = rates[workers, precision]
        ratio = statistics.median(one / first for one, first in zip(each, rates[ways[0]]))
        share = statistics.median(each) * operations / machine
        print(f"| {workers} | {precision} | {statistics.median(each):.3f} | {ratio:.2f} | {share:.0%} |")


def write_pairs(folder: Path, count: int, height: int, width: int) -> tuple:
    """Rendered pairs in `infrared/` and `visible/`; the last one."""
    for kind in ("infrared", "visible"):
        (folder / kind).mkdir()
    for number in range(count):
        pair = render_example_pair(height, width, seed=number)
        for kind, image in zip(("infrared", "visible"), pair):
            image.save(folder / kind / f"{number}.png")
    return pair


def operations_of_a_pair(model_name: str | None, pair: tuple) -> int:
    """Floating-point operations of the model's matrix products and convolutions for one pair."""
    model, processor = load_checkpoint(model_name)
    with FlopCounterMode(display=False) as counter:
        fuse_pair(model, processor, *pair)
    return counter.get_total_flops()


def matrix_rate() -> float:
    """Floating-point operations a second of a product of two square matrices in float32."""
    left, right = torch.rand(2, MATRIX_SIDE, MATRIX_SIDE)
    left @ right
    started = time.perf_counter()
    left @ right
    return 2 * MATRIX_SIDE**3 / (time.perf_counter() - started)


def seconds_of_a_run(folder: Path, model: str | None, workers: int, precision: str) -> float:
    """How long `maefuse fuse` takes over all pairs, the loading of the model with it."""
    arguments = ["fuse", str(folder / "infrared"), str(folder / "visible"), "-o", str(folder / "fused"), "--overwrite"]
    arguments += ["--workers", str(workers), "--dtype", precision] + (["--model", model] if model else [])
    started = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        if maefuse(arguments):
            raise RuntimeError("maefuse fuse could not fuse the rendered pairs.")
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
