"""What a step of the guided training costs: in full and mixed precision, with the encoder run and its features cached.

    python benchmarks/training_cost.py

Takes turns between the ways, so that whatever else the machine does hits all of them, and prints the median step, the
images per second and the ratio to the first way. The step alone has its batch on the device already; what is more in
the other is the drawing of crops in the same process (`data.workers` takes it out of the way). Ratios hold beyond the
machine; seconds do not.
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import default_collate

from benchmarks.timing import in_turns, medians
from maefuse_hf.configuration_maefuse import EQUATION_4
from maefuse_hf.evaluation import as_markdown, table_of
from maefuse_hf.example_scene import render_example_pair
from maefuse_hf.inference import load_checkpoint
from training.config import DataConfig, FeatureCacheConfig, OptimizerConfig
from training.crops import FixedPairCrops
from training.data import Pairs, read_pair
from training.feature_cache import cache_features
from training.optimizer import adamw
from training.stages import STAGES, GuidedStep
from training.train import IMAGES_OF_A_PAIR

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16}
"""What mixed precision computes in; float32 is full precision."""


@dataclass(frozen=True)
class Cost:
    """Median seconds of a step in one way."""

    precision: str
    encoder: str
    """Whether it is run or its features are cached."""
    with_data: float
    """The batch drawn and brought to the device, and the step."""
    alone: float
    """The step with a batch that lies on the device."""


def measure_steps(
    stage_name: str,
    model_name: str | None,
    batch_size: int,
    crop_size: int,
    rounds: int,
    accelerator: Accelerator,
    warm_up: int = 0,
) -> list[Cost]:
    """A step of a stage in each precision, with and without cached features, on pairs that are rendered.

    Args:
        stage_name: as in `StagesConfig`.
        model_name: as `load_checkpoint` takes it.
        batch_size: pairs.
        crop_size: side of the crops in pixels.
        rounds, warm_up: as `in_turns` takes them.
        accelerator: knows the device.
    """
    device = accelerator.device
    data = DataConfig(pairs="", crop_size=crop_size, crops_per_pair=batch_size)
    images = [read_pair(*render_example_pair(crop_size * 2, crop_size * 2))]
    crops = FixedPairCrops(Pairs(["rendered"], images.__getitem__), data, seed=0)
    stage = next(stage for stage in STAGES if stage.name == stage_name)
    model, _ = load_checkpoint(model_name, str(device))

    with tempfile.TemporaryDirectory() as folder:
        cached = cache_features(crops, model, FeatureCacheConfig(folder), batch_size, accelerator)
        step = GuidedStep(model, stage, EQUATION_4).train()
        optimizer, _ = adamw(step, OptimizerConfig(), 1e-4, 2 * (rounds + warm_up), processes=1)

        def drawn(source: FixedPairCrops) -> dict[str, Tensor]:
            batch = default_collate([source[index, 0] for index in range(batch_size)])
            return {name: value.to(device) for name, value in batch.items() if name != "scene"}

        def train(autocast: AbstractContextManager, batch: Callable[[], dict[str, Tensor]]) -> None:
            given = batch()
            with autocast:
                loss, _ = step(**given)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            loss.item()

        with_data, alone = {}, {}
        for precision, dtype in PRECISIONS.items():
            # autocast is what accelerate's mixed precision comes to
            autocast = torch.autocast(device.type, dtype, enabled=dtype is not None)
            for encoder, source in (("run", crops), ("features cached", cached)):
                batch = drawn(source)
                with_data[precision, encoder] = partial(train, autocast, partial(drawn, source))
                alone[precision, encoder] = partial(train, autocast, partial(dict, batch))
        seconds = [
            medians(in_turns(ways, rounds, warm_up=warm_up, device=device, progress=words))
            for ways, words in ((with_data, "steps with their data"), (alone, "steps alone"))
        ]
    return [Cost(*way, seconds[0][way], seconds[1][way]) for way in alone]


def cost_table(costs: Sequence[Cost], batch_size: int) -> str:
    """Markdown: images a second and the ratio to the first way are those of the step with its data."""
    images = batch_size * IMAGES_OF_A_PAIR
    rows = [
        [
            cost.precision,
            cost.encoder,
            f"{cost.with_data:.3f}",
            f"{images / cost.with_data:.1f}",
            f"{costs[0].with_data / cost.with_data:.2f}",
            f"{cost.alone:.3f}",
            f"{images / cost.alone:.1f}",
            f"{costs[0].alone / cost.alone:.2f}",
        ]
        for cost in costs
    ]
    head = ["step in s", "images/s", "times the first"]
    return as_markdown(table_of(["precision", "encoder", *head, *(f"{name}, alone" for name in head)], rows))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a training step in each precision, with and without cache.")
    parser.add_argument("--stage", choices=[stage.name for stage in STAGES], default="mfm_fuse")
    parser.add_argument("--model", help="folder or Hub name; default: the checkpoint that ships")
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--crop_size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    accelerator = Accelerator()
    sizes = options.batch_size, options.crop_size, options.rounds
    costs = measure_steps(options.stage, options.model, *sizes, accelerator)
    work = f"{options.stage}, {options.batch_size} pairs of {options.crop_size} pixels"
    print(f"{accelerator.device}, {torch.get_num_threads()} threads, {work}")
    print(cost_table(costs, options.batch_size))


if __name__ == "__main__":
    main()
