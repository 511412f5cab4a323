"""How long all fusion metrics of one image take.

python benchmarks/metrics_speed.py [--size WIDTH HEIGHT] [--threads N] [--device D]
"""

import argparse
import statistics
import time

import numpy as np
import torch

from maefuse_hf.evaluation import BASELINES, MAXIMUM
from maefuse_hf.example_scene import render_example_pair
from maefuse_hf.metrics import fusion_metrics, hot_target_survival

RUNS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description="Time all fusion metrics of one image.")
    parser.add_argument("--size", type=int, nargs=2, default=(640, 480), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    width, height = options.size
    infrared, visible = (
        torch.from_numpy(np.array(image.convert("L")))[None, None].to(options.device)
        for image in render_example_pair(height, width)
    )
    fused = BASELINES[MAXIMUM](infrared, visible)
    seconds = []
    for _ in range(RUNS):
        start = time.perf_counter()
        for measure in (fusion_metrics, hot_target_survival):
            values = measure(fused, infrared, visible)
        # reading a value waits for the device
        float(values["hot_contrast"])
        seconds.append(time.perf_counter() - start)
    print(
        f"all metrics of a {width}×{height} image, {options.device}, {options.threads} threads: "
        f"median {statistics.median(seconds):.3f} s of {RUNS} runs, first {seconds[0]:.3f} s"
    )


if __name__ == "__main__":
    main()
