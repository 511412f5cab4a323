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
from functools import partial
from pathlib import Path

import torch

from benchmarks.timing import in_turns, matrix_product, medians, operations_of, operations_of_a_product
from maefuse_hf.cli import main as maefuse
from maefuse_hf.evaluation import as_markdown, table_of
from maefuse_hf.example_scene import render_example_pair
from maefuse_hf.inference import fuse_pair, load_checkpoint
from training.render_pairs import render_pairs

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
    pair = render_example_pair(height, width)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        render_pairs(folder, options.pairs, height, width)
        model, processor = load_checkpoint(options.model)
        operations = operations_of(lambda: fuse_pair(model, processor, *pair))
        product = matrix_product(MATRIX_SIDE, model.device)
        product()
        runs = {way: partial(fuse_folder, folder, options.model, *way) for way in ways}
        seconds = in_turns({None: product, **runs}, options.rounds, device=model.device, progress="folders")
    machine = operations_of_a_product(MATRIX_SIDE) / medians(seconds)[None]
    threads, per_pair, per_second = torch.get_num_threads(), operations / 1e9, machine / 1e9
    print(f"{threads} threads, {per_pair:.0f} GFLOP a pair, {per_second:.0f} GFLOP/s in products")
    rows = []
    for way in ways:
        workers, precision = way
        ratio = statistics.median(first / one for one, first in zip(seconds[way], seconds[ways[0]]))
        rate = options.pairs / statistics.median(seconds[way])
        rows.append([str(workers), precision, f"{rate:.3f}", f"{ratio:.2f}", f"{rate * operations / machine:.0%}"])
    head = ["workers", "precision", "pairs a second", "against the first", "of the machine's rate"]
    print(as_markdown(table_of(head, rows)))


def fuse_folder(folder: Path, model: str | None, workers: int, precision: str, *more: str) -> None:
    """`maefuse fuse` over all pairs, the loading of the model with it; `more` are further options."""
    arguments = ["fuse", str(folder / "infrared"), str(folder / "visible"), "-o", str(folder / "fused"), "--overwrite"]
    arguments += ["--workers", str(workers), "--dtype", precision, *(["--model", model] if model else []), *more]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        if maefuse(arguments):
            raise RuntimeError("maefuse fuse could not fuse the rendered pairs.")


if __name__ == "__main__":
    main()
