"""Render a folder of example pairs, to try the training without any data.

python training/render_pairs.py FOLDER --pairs 8
"""

import argparse
from pathlib import Path

from tqdm import trange

from maefuse_hf.example_scene import render_example_pair
from maefuse_hf.image_files import write_image


def main() -> None:
    parser = argparse.ArgumentParser(description="Render pairs of a night street into infrared/ and visible/.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pairs", type=int, default=8, help="how many scenes")
    parser.add_argument("--height", type=int, default=96)
    parser.add_argument("--width", type=int, default=128)
    options = parser.parse_args()
    render_pairs(options.folder, options.pairs, options.height, options.width)


def render_pairs(folder: Path, pairs: int, height: int, width: int) -> None:
    """Write so many pairs of `height` by `width` pixels, each another scene."""
    for half in ("infrared", "visible"):
        (folder / half).mkdir(parents=True, exist_ok=True)
    for seed in trange(pairs, unit="pair"):
        infrared, visible = render_example_pair(height, width, seed=seed)
        write_image(infrared, folder / "infrared" / f"{seed:04d}.png")
        write_image(visible, folder / "visible" / f"{seed:04d}.png")


if __name__ == "__main__":
    main()
