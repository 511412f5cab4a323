"""How long all fusion metrics of one image take.

python benchmarks/metrics_speed.py [--size WIDTH HEIGHT] [--threads N] [--device D]
"""

import argparse
import statistics

import numpy as np
import torch
from torch import Tensor

from benchmarks.timing import in_turns
from maefuse_hf.evaluation import BASELINES, MAXIMUM
from maefuse_hf.example_scene import render_example_pair
from maefuse_hf.metrics import fusion_metrics, hot_target_survival

RUNS = 10


def rendered_images(size: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """A fused image, their maximum, infrared and visible: `(1, 1, H, W)` uint8 of that width and height."""
    width, height = size
    infrared, visible = (
        torch.from_numpy(np.array(image.convert("L")))[None, None].to(device)
        for image in render_example_pair(height, width)
    )
    return BASELINES[MAXIMUM](infrared, visible), infrared, visible


def all_metrics(fused: Tensor, infrared: Tensor, visible: Tensor) -> dict[str, Tensor]:
    """What an evaluation takes of an image, by name."""
    return {**fusion_metrics(fused, infrared, visible), **hot_target_survival(fused, infrared, visible)}


def main() -> None:
    parser = argparse.ArgumentParser(description="Time all fusion metrics of one image.")
    parser.add_argument("--size", type=int, nargs=2, default=(640, 480), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    width, height = options.size
    images = rendered_images((width, height), torch.device(options.device))
    [seconds] = in_turns({"metrics": lambda: all_metrics(*images)}, RUNS, device=images[0].device).values()
    print(
        f"all metrics of a {width}×{height} image, {options.device}, {options.threads} threads: "
        f"median {statistics.median(seconds):.3f} s of {RUNS} runs, first {seconds[0]:.3f} s"
    )


if __name__ == "__main__":
    main()
