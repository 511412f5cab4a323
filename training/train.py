"""Train MaeFuse by the paper's guided schedule, stage by stage.

    accelerate launch training/train.py --config training/configs/maefuse_small.yaml --output_dir DIR

Each finished stage is saved to DIR/stages/NAME; a run that was stopped goes on after the last of them. The trained
model is in DIR/final and loads with `MaeFuseModel.from_pretrained`. DIR/samples shows validation pairs after each
stage, infrared, visible and fused side by side.
"""

from itertools import takewhile
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from PIL import Image
from safetensors.torch import load_file
from torch.utils.data import DataLoader
from tqdm import tqdm

from maefuse_hf import MaeFuseImageProcessor, MaeFuseModel
from training.config import TrainingConfig, parse_run, save_resolved
from training.data import RandomCrops, SeededDraws, find_pairs, read_pairs, split_pairs
from training.optimizer import adamw
from training.stages import STAGES, GuidedStep, Stage


def start_model(config: TrainingConfig) -> MaeFuseModel:
    """A trained model to go on from, or one around the pretrained encoder whose other parts are as `start` says."""
    if config.encoder is None:
        return MaeFuseModel.from_pretrained(config.start.model)
    model = MaeFuseModel.from_encoder_pretrained(config.encoder, **config.model)
    if config.start.decoder_as_read_out:
        read_out = load_file(Path(config.encoder) / "read_out.safetensors")
        model.decoder.start_as_read_out(read_out["weight"], read_out["bias"])
    if config.start.fusion_at_mean:
        model.comparative_fusion.start_at_mean(config.start.own_place_logit)
        model.merging_fusion.start_at_mean(config.start.own_place_logit)
    return model


@torch.no_grad()
def sample_picture(step: GuidedStep, pair: np.ndarray, crop_size: int) -> Image.Image:
    """Infrared, visible and what the stage's features decode to, side by side, of a pair's centre."""
    size = max(crop_size, min(pair.shape[1:]) // crop_size * crop_size)
    top, left = ((side - size) // 2 for side in pair.shape[1:])
    pixels = torch.from_numpy(pair[:, None, top : top + size, left : left + size] / np.float32(255))
    device = step.model.device
    infrared, visible = pixels[:1].to(device), pixels[1:].to(device)
    decoded = step.decode(infrared, visible)
    row = torch.cat([infrared, visible, *decoded.split(1)], dim=-1)[0, 0].clamp(0, 1)
    return Image.fromarray((row.cpu().numpy() * 255).round().astype(np.uint8))


def train_stage(
    stage: Stage,
    model: MaeFuseModel,
    training: RandomCrops,
    config: TrainingConfig,
    accelerator: Accelerator,
) -> GuidedStep:
    """Run one stage to its end; returns the step it ran, its model in evaluation mode."""
    plan = getattr(config.stages, stage.name)
    draws = SeededDraws(
        [1.0] * len(training),
        plan.steps * config.batch_size * accelerator.num_processes,
        config.seed + STAGES.index(stage),
    )
    loader: DataLoader = DataLoader(training, config.batch_size, sampler=draws, num_workers=config.data.workers)
    step = GuidedStep(model, stage, config.loss_weights).train()
    optimizer, scheduler = adamw(step, config.optimizer, plan.learning_rate, plan.steps, accelerator.num_processes)
    run, optimizer, loader, scheduler = accelerator.prepare(step, optimizer, loader, scheduler)

    progress = tqdm(loader, desc=stage.name, unit="step", disable=not accelerator.is_main_process)
    for number, crops in enumerate(progress):
        loss, terms = run(crops[:, :1], crops[:, 1:])
        if not torch.isfinite(loss):
            raise ValueError(
                f"The loss of stage {stage.name} is {loss.item()} at step {number}; lower its learning_rate or use "
                "mixed_precision=no. The stages before it are saved."
            )
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(run.parameters(), config.optimizer.max_grad_norm)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        values = {name: term.item() for name, term in terms.items()}
        progress.set_postfix({name: f"{value:.5f}" for name, value in values.items()})
        accelerator.log({f"{stage.name}/{name}": value for name, value in values.items()}, step=number)
    accelerator.free_memory()
    return step.eval()


def main() -> None:
    config, output_dir = parse_run(TrainingConfig, "Train MaeFuse by the paper's guided schedule.")
    accelerator = Accelerator(
        mixed_precision=config.mixed_precision, log_with="tensorboard", project_dir=str(output_dir)
    )
    accelerator.init_trackers("log")
    set_seed(config.seed)
    if accelerator.is_main_process:
        save_resolved(config, output_dir)

    training_pairs, validation_pairs = split_pairs(find_pairs(Path(config.data.pairs)), config.data.validation_pairs)
    training, validation = RandomCrops(read_pairs(training_pairs), config.data), read_pairs(validation_pairs)

    stages = [stage for stage in STAGES if getattr(config.stages, stage.name).steps > 0]
    folders = {stage.name: output_dir / "stages" / stage.name for stage in stages}
    finished = list(takewhile(lambda stage: (folders[stage.name] / "model.safetensors").is_file(), stages))
    model = MaeFuseModel.from_pretrained(folders[finished[-1].name]) if finished else start_model(config)

    for stage in stages[len(finished) :]:
        step = train_stage(stage, model, training, config, accelerator)
        if accelerator.is_main_process:
            model.save_pretrained(folders[stage.name])
            samples = output_dir / "samples"
            samples.mkdir(parents=True, exist_ok=True)
            for number, pair in enumerate(validation[:: max(1, len(validation) // 4)]):
                sample_picture(step, pair, config.data.crop_size).save(samples / f"{stage.name}_{number}.png")
        accelerator.wait_for_everyone()

    if accelerator.is_main_process:
        model.save_pretrained(output_dir / "final")
        MaeFuseImageProcessor(size_divisor=model.patch_size).save_pretrained(output_dir / "final")
    accelerator.end_training()


if __name__ == "__main__":
    main()
