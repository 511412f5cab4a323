"""Pretrain a masked-autoencoder encoder from nothing, where no MAE checkpoint can be had.

    accelerate launch training/pretrain_mae.py --config training/configs/pretrain_small.yaml --output_dir DIR

Two losses, both mean squared errors of normalised pixels: the masked one of MAE through a light decoder, and a linear
read-out of the unmasked tokens' own pixels. Without the second a token forgets the detail that the fusion decoder
needs. Where images are damaged (`data.damage_probability`), both ask for the undamaged pixels. DIR/encoder then loads
with `MaeFuseModel.from_encoder_pretrained`, DIR/encoder/read_out.safetensors holds the linear read-out, from which the
fusion decoder may start.
"""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, ProjectConfiguration, set_seed
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm
from transformers import ViTImageProcessorPil, ViTMAEConfig, ViTMAEForPreTraining

from maefuse_hf import MaeFuseConfig, MaeFuseModel
from maefuse_hf.position_embedding import sincos_position_embedding
from training.checkpoints import newest_checkpoint, save_checkpoint
from training.config import PretrainingConfig
from training.config_file import parse_run, save_resolved
from training.crops import ImageCrops, WeightedDraws
from training.data import checked_pairs, read_photos, split_by_name
from training.initialization import initialize_decoder_as_read_out
from training.optimizer import adamw


class MaskedAutoencoder(nn.Module):
    """`ViTMAEForPreTraining` and a linear read-out of the encoder's tokens."""

    def __init__(self, config: ViTMAEConfig, attn_implementation: str) -> None:
        super().__init__()
        self.mae = ViTMAEForPreTraining._from_config(config, attn_implementation=attn_implementation)
        side = int(config.image_size) // int(config.patch_size)  # type: ignore[arg-type]
        for positions in (self.mae.vit.embeddings.position_embeddings, self.mae.decoder.decoder_pos_embed):
            # transformers leaves a from-scratch model's fixed positions at zero
            positions.data[0, 1:] = sincos_position_embedding(side, side, positions.shape[-1])
        # a norm without affine part lets a decoder that starts with a norm begin as the read-out exactly
        self.mae.vit.layernorm.requires_grad_(False)
        self.read_out = nn.Linear(config.hidden_size, config.num_channels * int(config.patch_size) ** 2)  # type: ignore[arg-type]

    def forward(self, pixel_values: Tensor, clean_values: Tensor, mask_ratio: float, seed: int) -> dict[str, Tensor]:
        """Losses of one batch of normalised images `(B, C, H, W)` against the same images undamaged; `masked` only
        where something is masked.

        The mask depends on `seed` alone, so that a run that goes on masks what it would have masked.
        """
        self.mae.vit.config.mask_ratio = mask_ratio
        patches = self.mae.patchify(clean_values)
        noise = torch.rand(patches.shape[:2], generator=torch.Generator().manual_seed(seed))
        outputs = self.mae.vit(pixel_values, noise=noise.to(pixel_values.device))
        kept = outputs.last_hidden_state.shape[1] - 1
        raster = outputs.ids_restore.argsort(dim=1)[:, :kept, None].expand(-1, -1, patches.shape[-1])
        own_pixels = patches.gather(1, raster)
        losses = {"read_out": (self.read_out(outputs.last_hidden_state[:, 1:]) - own_pixels).square().mean()}
        if kept < patches.shape[1]:
            predicted = self.mae.decoder(outputs.last_hidden_state, outputs.ids_restore).logits
            per_patch = (predicted - patches).square().mean(dim=-1)
            losses["masked"] = (per_patch * outputs.mask).sum() / outputs.mask.sum()
        return losses


@torch.no_grad()
def read_out_psnr(autoencoder: MaskedAutoencoder, images: list[np.ndarray], mean: float, std: float) -> float:
    """Mean PSNR in dB (peak 1) of whole images read off the encoder's tokens by the linear head alone."""
    encoder = autoencoder.mae.vit
    model = MaeFuseModel(
        MaeFuseConfig(
            encoder_config=encoder.config.to_dict(),
            decoder_hidden_size=encoder.config.hidden_size,
            decoder_num_hidden_layers=0,
            decoder_num_attention_heads=1,
            decoder_position_embedding=False,
            image_mean=[mean],
            image_std=[std],
        )
    ).to(encoder.device)
    model.encoder.load_state_dict(encoder.state_dict())
    initialize_decoder_as_read_out(model.decoder, autoencoder.read_out.weight, autoencoder.read_out.bias)
    values = []
    for image in images:
        height, width = (side // model.patch_size * model.patch_size for side in image.shape[1:])
        pixels = torch.from_numpy(image[:, None, :height, :width]).to(model.device) / 255
        restored = model.reconstruct(pixels).clamp(0, 1)
        values += (-10 * (restored - pixels).square().mean(dim=(1, 2, 3)).log10()).tolist()
    return float(np.mean(values))


def main() -> None:
    pretrain(*parse_run(PretrainingConfig, "Pretrain the encoder of MaeFuse as a masked autoencoder."))


def pretrain(config: PretrainingConfig, output_dir: Path) -> None:
    """One run from its start, or from where it was stopped, to its end."""
    project = ProjectConfiguration(str(output_dir), automatic_checkpoint_naming=True, total_limit=2)
    # the light decoder rests in the steps in which nothing is masked
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    accelerator = Accelerator(mixed_precision=config.mixed_precision, project_config=project, kwargs_handlers=[unused])
    # what is recorded says what ran, wherever it was set
    config = replace(config, mixed_precision=accelerator.mixed_precision)
    set_seed(config.seed)
    if accelerator.is_main_process:
        save_resolved(config, output_dir)

    training_pairs, validation_pairs = split_by_name(checked_pairs(config.data), config.data)
    images = [image[None] for pair in training_pairs for image in pair]
    if config.data.photos is not None:
        images += read_photos(config.data.photos)
    # whole images are slow on a CPU, and a sample tells whether the read-out still rises
    validation = list(validation_pairs)[::4]
    # images are drawn by their area: every pixel is as likely to be seen as any other
    draws = WeightedDraws(
        [image.size for image in images],
        config.steps * config.batch_size * accelerator.num_processes,
        config.seed,
    )
    loader: DataLoader = DataLoader(
        ImageCrops(images, config.data),
        batch_size=config.batch_size,
        sampler=draws,
        num_workers=config.data.workers,
    )

    model = MaskedAutoencoder(ViTMAEConfig(**config.encoder), config.attn_implementation)
    processes = accelerator.num_processes
    optimizer, scheduler = adamw(model, config.optimizer, config.learning_rate, config.steps, processes)
    model, optimizer, loader, scheduler = accelerator.prepare(model, optimizer, loader, scheduler)

    done = 0
    checkpoint = newest_checkpoint(accelerator)
    if checkpoint is not None:
        accelerator.load_state(str(checkpoint.folder))
        done = int(checkpoint.position["steps"])
        loader = accelerator.skip_first_batches(loader, done)

    # the statistics stand where every ViTMAE checkpoint has them
    processor = ViTImageProcessorPil(image_mean=[config.image_mean], image_std=[config.image_std])
    mask_ratio = config.encoder.get("mask_ratio", ViTMAEConfig().mask_ratio)
    unmasked_every = math.inf if config.unmasked_share == 0 else round(1 / config.unmasked_share)
    progress = tqdm(total=config.steps, initial=done, unit="step", disable=not accelerator.is_main_process)
    model.train()
    for seen, clean in loader:
        ratio = 0.0 if done % unmasked_every == 0 else mask_ratio
        mask_seed = config.seed + done * processes + accelerator.process_index
        seen, clean = ((image - config.image_mean) / config.image_std for image in (seen, clean))
        losses = model(seen, clean, ratio, mask_seed)
        loss = config.readout_weight * losses["read_out"] + losses.get("masked", 0.0)
        if not torch.isfinite(loss):
            raise ValueError(
                f"The loss is {loss.item()} at step {done}; lower learning_rate or use mixed_precision=no."
            )
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(model.parameters(), config.optimizer.max_grad_norm)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        done += 1
        progress.update()
        progress.set_postfix({name: f"{value.item():.4f}" for name, value in losses.items()})
        if done % config.checkpoint_steps == 0 or done == config.steps:
            save_checkpoint(accelerator, steps=done)
            if accelerator.is_main_process:
                plain = accelerator.unwrap_model(model)
                plain.mae.vit.config.mask_ratio = mask_ratio
                psnr = read_out_psnr(plain, validation, config.image_mean, config.image_std)
                progress.write(f"step {done}: validation read-out {psnr:.2f} dB")
                plain.mae.vit.save_pretrained(output_dir / "encoder")
                processor.save_pretrained(output_dir / "encoder")
                save_file(
                    {name: value.contiguous() for name, value in plain.read_out.state_dict().items()},
                    output_dir / "encoder" / "read_out.safetensors",
                )
    accelerator.end_training()


if __name__ == "__main__":
    main()
