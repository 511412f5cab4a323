"""Seconds and memory to fuse a pair at several sizes, in tiles and with attention over the whole image.

    python benchmarks/fusion_speed.py --sizes 640x480 1280x1024

Takes turns between the two ways. Memory is the most that the process ever held, so sizes grow and the tiles go first.
"""

import argparse
import resource
from functools import partial

import torch
from PIL import Image

from benchmarks.timing import in_turns, medians
from maefuse_hf.evaluation import as_markdown, table_of
from maefuse_hf.example_scene import render_example_pair
from maefuse_hf.inference import fuse_pair, load_checkpoint

KIBIBYTES_PER_GIGABYTE = 1e9 / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how long fusion takes.")
    parser.add_argument("--sizes", nargs="+", default=["640x480"], help="width x height, small ones first")
    parser.add_argument("--model", help="folder or Hub name; default: the checkpoint that ships")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tiles-only", action="store_true", help="leave out attention over the whole image")
    options = parser.parse_args()

    model, processor = load_checkpoint(options.model)
    tile = model.config.tile_size
    ways = [tile] if options.tiles_only else [tile, None]

    def fuse(way: int | None, pair: tuple[Image.Image, Image.Image]) -> None:
        model.config.tile_size = way
        fuse_pair(model, processor, *pair)

    rows = []
    for size in options.sizes:
        width, height = map(int, size.split("x"))
        pair = render_example_pair(height, width)
        seconds = in_turns({way: partial(fuse, way, pair) for way in ways}, options.rounds, progress=size)
        held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIBIBYTES_PER_GIGABYTE
        for way, median in medians(seconds).items():
            attention = "whole image" if way is None else f"tiles of {way} tokens"
            rows.append([size, attention, f"{median:.2f}", f"{held:.2f} GB"])
    print(f"{model.device}, {torch.get_num_threads()} threads")
    print(as_markdown(table_of(["size", "attention", "seconds", "memory"], rows)))


if __name__ == "__main__":
    main()
