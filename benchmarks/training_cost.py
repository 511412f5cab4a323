"""What a step of the guided training costs: in full and mixed precision, with the encoder run and its features cached.

    python benchmarks/training_cost.py

Takes turns between the ways, so that whatever else the machine does hits all of them, and prints the median step, the
images per second and the ratio to the first way. Ratios hold beyond the machine; seconds do not.
"""

import argparse
import statistics
import tempfile
import time

import torch
from accelerate import Accelerator
from torch.utils.data import default_collate
from tqdm import trange

from maefuse_hf.configuration_maefuse import EQUATION_4
from maefuse_hf.example_scene import render_example_pair
from maefuse_hf.inference import load_checkpoint
from training.config import DataConfig, FeatureCacheConfig, OptimizerConfig
from training.crops import FixedPairCrops
from training.data import Pairs, read_pair
from training.feature_cache import cache_features
from training.optimizer import adamw
from training.stages import STAGES, GuidedStep
from training.train import IMAGES_OF_A_PAIR


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a training step in each precision, with and without cache.")
    parser.add_argument("--stage", choices=[stage.name for stage in STAGES], default="mfm_fuse")
    parser.add_argument("--model", help="folder or Hub name; default: the checkpoint that ships")
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--crop_size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()

    data = DataConfig(pairs="", crop_size=options.crop_size, crops_per_pair=options.batch_size)
    images = [read_pair(*render_example_pair(options.crop_size * 2, options.crop_size * 2))]
    crops = FixedPairCrops(Pairs(["rendered"], images.__getitem__), data, seed=0)
    stage = next(stage for stage in STAGES if stage.name == options.stage)
    accelerator = Accelerator()
    model, _ = load_checkpoint(options.model, str(accelerator.device))

    with tempfile.TemporaryDirectory() as folder:
        cached = cache_features(crops, model, FeatureCacheConfig(folder), options.batch_size, accelerator)
        ways = {
            # autocast is what accelerate's mixed precision comes to
            f"{precision}, {encoder}": (torch.autocast(accelerator.device.type, dtype, enabled=mixed), source)
            for precision, dtype, mixed in (("float32", None, False), ("bfloat16", torch.bfloat16, True))
            for encoder, source in (("encoder run", crops), ("features cached", cached))
        }
        step = GuidedStep(model, stage, EQUATION_4).train()
        optimizer, _ = adamw(step, OptimizerConfig(), 1e-4, options.rounds, processes=1)
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for _ in trange(options.rounds, unit="round"):
            for way, (autocast, source) in ways.items():
                started = time.perf_counter()
                batch = default_collate([source[index, 0] for index in range(options.batch_size)])
                batch = {name: value.to(accelerator.device) for name, value in batch.items() if name != "scene"}
                with autocast:
                    loss, _ = step(**batch)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                loss.item()
                seconds[way].append(time.perf_counter() - started)

    work = f"{options.stage}, {options.batch_size} pairs of {options.crop_size} pixels"
    print(f"{accelerator.device}, {torch.get_num_threads()} threads, {work}")
    print("| way | step in s | images/s | times the first |\n|---|---|---|---|")
    medians = {way: statistics.median(values) for way, values in seconds.items()}
    first = next(iter(medians.values()))
    for way, median in medians.items():
        speed = options.batch_size * IMAGES_OF_A_PAIR / median
        print(f"| {way} | {median:.3f} | {speed:.1f} | {first / median:.2f} |")


if __name__ == "__main__":
    main()
