"""Train MaeFuse by the paper's guided schedule, stage by stage.

    accelerate launch training/train.py --config training/configs/maefuse_small.yaml --output_dir DIR

The same command on one CPU, one GPU or many (`training/configs/accelerate`), and the same again after a stop: the
run goes on from the newest state in DIR/checkpoints, to the same numbers. DIR/stages has the model after each stage,
DIR/final the trained one, which `MaeFuseModel.from_pretrained` loads; DIR/samples and DIR/log show what happened.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from accelerate.data_loader import prepare_data_loader
from accelerate.tracking import get_available_trackers
from accelerate.utils import ProjectConfiguration, set_seed
from safetensors.torch import load_file
from torch import Tensor
from torch.distributed.fsdp import register_fsdp_forward_method
from torch.utils.data import DataLoader
from tqdm import tqdm
from transformers.utils import cached_file, logging

from maefuse_hf import MaeFuseImageProcessor, MaeFuseModel
from maefuse_hf.conversion import model_from_encoder
from maefuse_hf.losses import require_fusion_terms
from training.checkpoints import Checkpoint, newest_checkpoint, save_checkpoint, with_room
from training.config import TrainingConfig
from training.config_file import parse_run, save_resolved
from training.crops import EpochDraws, FixedPairCrops, PairCrops, StreamedPairCrops
from training.data import checked_pairs, has_a_shard_for_each, split_by_name, split_stream
from training.feature_cache import cache_features
from training.initialization import (
    initialize_decoder_as_read_out,
    initialize_fusion_at_mean,
    with_fresh_fusion,
    with_new_layers,
)
from training.lone_photos import read_lone_photos
from training.optimizer import adamw
from training.schedule import PlannedStage, plan_stages, stage_to_resume
from training.stages import GuidedStep
from training.validation import Validation

IMAGES_OF_A_PAIR = 2


def require_tracker(name: str | None) -> None:
    """Raise a `ValueError` if a tracker is not installed: accelerate would leave it out without a word."""
    installed = [str(tracker.value) for tracker in get_available_trackers()]
    if name is not None and name not in installed:
        raise ValueError(
            f"The tracker {name!r} is not installed here; there is {', '.join(installed) or 'none'}. Install it "
            f"(pip install {name}), choose another with tracker=NAME, or none with tracker=null."
        )


def start_model(config: TrainingConfig) -> MaeFuseModel:
    """A trained model to go on from, or one around the pretrained encoder; other parts as `start` says."""
    if config.encoder is None and config.start.new_layers:
        model = with_new_layers(MaeFuseModel.from_pretrained(config.start.model), **config.model)
    elif config.encoder is None and config.start.fresh_fusion:
        model = with_fresh_fusion(MaeFuseModel.from_pretrained(config.start.model), **config.model)
    elif config.encoder is None:
        model = MaeFuseModel.from_pretrained(config.start.model, **config.model)
    else:
        model = model_from_encoder(config.encoder, **config.model)
        if config.start.decoder_as_read_out:
            read_out = load_file(cast(str, cached_file(config.encoder, "read_out.safetensors")))
            initialize_decoder_as_read_out(model.decoder, read_out["weight"], read_out["bias"])
    if config.start.fusion_at_mean:
        initialize_fusion_at_mean(model, config.start.own_place_logit)
    return model


def start_processor(config: TrainingConfig, model: MaeFuseModel) -> MaeFuseImageProcessor:
    """The image processor of the model that training goes on from, which may hold images in its own way; or the plain
    one of a fresh model."""
    if config.start.model is not None:
        return MaeFuseImageProcessor.from_pretrained(config.start.model)
    return MaeFuseImageProcessor(size_divisor=model.patch_size)


def crops_loader(
    crops: Any, config: TrainingConfig, planned: PlannedStage, accelerator: Accelerator, steps_done: int
) -> tuple[Any, DataLoader]:
    """The crops of a stage and the batches of them that this process has still to see, in their order.

    Crops are drawn for all processes together, and accelerate gives each its batches. Of a stream each process reads
    its own share, and draws from that.
    """
    data, processes = config.data, accelerator.num_processes
    batches = planned.plan.steps * config.gradient_accumulation_steps
    batches_done = steps_done * config.gradient_accumulation_steps
    if data.streaming:
        draws, skipped = batches * config.batch_size, batches_done * config.batch_size
        crops = StreamedPairCrops(crops, data, draws, planned.seed, accelerator.process_index, processes, skipped)
        own = DataLoader(crops, config.batch_size, num_workers=data.workers)
        # nothing to split: batches only go to the device
        return crops, prepare_data_loader(
            own, accelerator.device, num_processes=1, process_index=0, put_on_device=True, dispatch_batches=False
        )
    order = EpochDraws(len(crops), batches * config.batch_size * processes, planned.seed)
    loader = accelerator.prepare(DataLoader(crops, config.batch_size, sampler=order, num_workers=data.workers))
    return crops, accelerator.skip_first_batches(loader, batches_done)


def checked_values(
    accelerator: Accelerator, loss: Tensor, terms: dict[str, Tensor], scenes: Tensor, crops: Any, where: str
) -> Tensor:
    """Each term's mean over the processes, `(terms,)`.

    Raises:
        ValueError: on every process, if the loss of one is not finite; the message names its pairs.
    """
    values = accelerator.gather(torch.stack([loss, *terms.values()]).detach().float()[None])
    broken = ~values.isfinite().all(dim=1)
    if broken.any():
        batches = accelerator.gather(scenes[None])[broken]
        names = ", ".join(dict.fromkeys(crops.name(scene) for scene in batches.flatten().tolist()))
        raise ValueError(
            f"The loss is {values[broken][0, 0].item()} in {where}, on the pairs {names}. Lower the stage's "
            "learning_rate or use mixed_precision=no; the same command goes on from the last saved state."
        )
    return values.mean(dim=0)[1:]


def train_stage(
    planned: PlannedStage,
    model: MaeFuseModel,
    processor: MaeFuseImageProcessor,
    pairs: Any,
    validation: Validation,
    config: TrainingConfig,
    accelerator: Accelerator,
    checkpoint: Checkpoint | None,
) -> None:
    """Run one stage from its start, or from a state that was saved within it, to its end, and save the model."""
    stage, plan = planned.stage, planned.plan
    processes = accelerator.num_processes
    step = GuidedStep(
        model, stage, model.config.loss_weights, config.reconstruction_weight, config.guide_sees_damage
    ).train()
    optimizer, scheduler = adamw(step, config.optimizer, plan.learning_rate, plan.steps, processes)
    run, optimizer, scheduler = accelerator.prepare(step, optimizer, scheduler)
    # a sharded model gathers its weights in forward, and where it is told to
    register_fsdp_forward_method(step, "decode")
    done = 0
    if checkpoint is not None:
        accelerator.load_state(str(checkpoint.folder))
        done = int(checkpoint.position["steps"])
    crops, loader = crops_loader(pairs, config, planned, accelerator, done)

    pairs_of_a_step = config.batch_size * config.gradient_accumulation_steps * processes
    progress = tqdm(
        desc=stage.name,
        total=plan.steps * pairs_of_a_step * IMAGES_OF_A_PAIR,
        initial=done * pairs_of_a_step * IMAGES_OF_A_PAIR,
        unit="image",
        disable=not accelerator.is_main_process,
    )
    values: list[Tensor] = []
    for batch in loader if done < plan.steps else ():
        scenes = batch.pop("scene")
        with accelerator.accumulate(run):
            loss, terms = run(**batch)
            where = f"step {done + 1} of stage {stage.name}"
            values.append(checked_values(accelerator, loss, terms, scenes, crops, where))
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(run.parameters(), config.optimizer.max_grad_norm)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
        if not accelerator.sync_gradients:
            continue

        done += 1
        steps_of_the_run = planned.steps_before + done
        means = dict(zip(terms, torch.stack(values).mean(dim=0).tolist()))
        values = []
        progress.update(pairs_of_a_step * IMAGES_OF_A_PAIR)
        epoch = done * pairs_of_a_step / len(pairs) if not config.data.streaming else None
        shown = {} if epoch is None else {"epoch": f"{epoch:.2f}"}
        progress.set_postfix({**shown, **{name: f"{value:.3g}" for name, value in means.items()}}, refresh=False)
        logged = {**means, "learning_rate": scheduler.get_last_lr()[0]}
        accelerator.log({f"{stage.name}/{name}": value for name, value in logged.items()}, step=steps_of_the_run)

        if done % config.sample_steps == 0 or done == plan.steps:
            with with_room(accelerator):
                seen = validation.look(run, step, accelerator, steps_of_the_run)
            progress.write(f"{stage.name}, step {done}: {seen}")
        if done % config.checkpoint_steps == 0 or done == plan.steps:
            save_checkpoint(accelerator, stage=stage.name, steps=done, steps_of_the_run=steps_of_the_run)
    progress.close()

    save_model(accelerator, run, processor, planned.folder)
    accelerator.free_memory()


def save_model(accelerator: Accelerator, run: torch.nn.Module, processor: MaeFuseImageProcessor, folder: Path) -> None:
    """Save what a prepared `GuidedStep` trains, with its image processor, so that `from_pretrained` loads it."""
    weights = {name.removeprefix("model."): value for name, value in accelerator.get_state_dict(run).items()}
    model = accelerator.unwrap_model(run).model
    with with_room(accelerator, folder):
        model.save_pretrained(
            folder,
            is_main_process=accelerator.is_main_process,
            state_dict=weights,
            save_function=accelerator.save,
        )
        if accelerator.is_main_process:
            processor.save_pretrained(folder)
    accelerator.wait_for_everyone()


def main() -> None:
    train(*parse_run(TrainingConfig, "Train MaeFuse by the paper's guided schedule."))


def train(config: TrainingConfig, output_dir: Path) -> None:
    """One run from its start, or from where it was stopped, to its end."""
    logging.disable_progress_bar()
    require_tracker(config.tracker)
    stages = plan_stages(config, output_dir)

    accelerator = Accelerator(
        mixed_precision=config.mixed_precision,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        log_with=config.tracker,
        project_config=ProjectConfiguration(
            str(output_dir), automatic_checkpoint_naming=True, total_limit=config.checkpoint_limit
        ),
    )
    # what is recorded says what ran, wherever it was set
    config = replace(config, mixed_precision=accelerator.mixed_precision)
    accelerator.print(f"{accelerator.num_processes} processes, {accelerator.device}, {config.mixed_precision} autocast")
    set_seed(config.seed)
    checkpoint = newest_checkpoint(accelerator)
    steps_done = int(checkpoint.position["steps_of_the_run"]) if checkpoint is not None else 0
    # what was logged after the state that is gone back to
    purge = {"tensorboard": {"purge_step": steps_done + 1}}
    accelerator.init_trackers("log", init_kwargs=purge)
    if accelerator.is_main_process:
        changed = save_resolved(config, output_dir)
        if checkpoint is not None:
            accelerator.print(f"Going on from step {steps_done}, {checkpoint.folder.name}.")
            accelerator.print("".join(f"Changed since the last start: {line}\n" for line in changed), end="")

    if config.data.streaming:
        training, held_out = split_stream(config.data)
        crops: Any = training
        if not has_a_shard_for_each(training, accelerator.num_processes):
            accelerator.print(
                f"{config.data.pairs} has {training.num_shards} shards for {accelerator.num_processes} processes: each "
                "reads all of them and keeps its part of the rows. Written into more files, it is read once."
            )
    else:
        training, held_out = split_by_name(checked_pairs(config.data), config.data)
        if config.data.lone_photos:
            training = training + read_lone_photos(config.data)
        fixed = config.data.crops_per_pair is not None
        crops = FixedPairCrops(training, config.data, config.seed) if fixed else PairCrops(training, config.data)
    shown = None
    if config.data.shown_pairs is not None:
        shown = checked_pairs(replace(config.data, pairs=config.data.shown_pairs, streaming=False))
    validation = Validation(held_out, config.data, config.batch_size, shown)

    first = stage_to_resume(stages, checkpoint)
    model = MaeFuseModel.from_pretrained(stages[first - 1].folder) if first else start_model(config)
    if config.loss_weights is not None:
        model.config.loss_weights = dict(config.loss_weights)
    require_fusion_terms(model.config.loss_weights)
    processor = start_processor(config, model)
    if config.feature_cache.folder is not None:
        crops = cache_features(crops, model, config.feature_cache, config.batch_size, accelerator)

    for planned in stages[first:]:
        if config.gradient_checkpointing:
            model.activation_checkpointing_enable()
        train_stage(planned, model, processor, crops, validation, config, accelerator, checkpoint)
        model = MaeFuseModel.from_pretrained(planned.folder)
        checkpoint = None

    if accelerator.is_main_process:
        with with_room(accelerator, output_dir / "final"):
            model.save_pretrained(output_dir / "final")
            processor.save_pretrained(output_dir / "final")
    accelerator.end_training()


if __name__ == "__main__":
    main()
