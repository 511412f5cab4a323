"""What a stage does to pairs that it is not trained on: loss terms as numbers, and images to look at."""

from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor, nn

from maefuse_hf.image_files import write_image
from training.config import DataConfig
from training.crops import centre_crop
from training.damages import damaged_crop
from training.data import Pairs
from training.stages import GuidedStep

SAMPLES = 4
"""How many validation pairs are shown, spread evenly over all of them."""


class Validation:
    """Validation pairs: the middle crop of each for the loss, a few of them nearly whole to be shown.

    Where training damages pairs, the loss is taken of damaged crops too: the same crops, each damaged once, by its
    number alone, so that every look at them sees the same.

    Args:
        pairs: validated on.
        data: size of the crops, and whether they are damaged.
        batch_size: crops looked at together.
        shown: pairs to show in place of some of `pairs`.
    """

    def __init__(self, pairs: Pairs, data: DataConfig, batch_size: int, shown: Pairs | None = None) -> None:
        self.crops = [centre_crop(pairs[index], data.crop_size) for index in range(len(pairs))]
        self.damaged: list[Tensor] = []
        if data.damage_probability > 0:
            seeds = (torch.Generator().manual_seed(index) for index in range(len(pairs)))
            self.damaged = [damaged_crop(crop, seed) for crop, seed in zip(self.crops, seeds)]
        self.batch_size = batch_size
        shown = pairs if shown is None else shown
        numbers = range(0, len(shown), max(1, len(shown) // SAMPLES))
        self.shown = [whole_crops(shown[index], data.crop_size) for index in list(numbers)[:SAMPLES]]

    def look(self, run: nn.Module, step: GuidedStep, accelerator: Accelerator, steps_of_the_run: int) -> str:
        """Log and show what a stage does now; every process calls it.

        Args:
            run: the step as accelerate prepared it.
            step: the same, as it was before.
            accelerator: its trackers and its project folder, `samples/` in it, get numbers and images.
            steps_of_the_run: where they stand there.

        Returns:
            the loss terms in words.
        """
        name = step.stage.name
        run.eval()
        terms = self.loss_terms(run, accelerator.device)
        accelerator.log({f"{name}/validation_{term}": value for term, value in terms.items()}, step=steps_of_the_run)
        show(accelerator, self.images(step), Path(accelerator.project_dir) / "samples", name, steps_of_the_run)
        run.train()
        listed = ", ".join(f"{term} {value:.3g}" for term, value in terms.items())
        return f"validation {listed}" if terms else "no validation pairs"

    @torch.no_grad()
    def loss_terms(self, run: nn.Module, device: torch.device) -> dict[str, float]:
        """Mean of each loss term over all crops, by every process alike; those of damaged crops are named `damaged_…`.
        Empty without pairs."""
        terms = self.mean_terms(run, self.crops, device)
        of_damaged = self.mean_terms(run, self.damaged, device)
        return terms | {f"damaged_{name}": value for name, value in of_damaged.items()}

    def mean_terms(self, run: nn.Module, seen: list[Tensor], device: torch.device) -> dict[str, float]:
        """Mean of each loss term over crops as the model sees them, taken against the undamaged ones."""
        sums: dict[str, float] = {}
        for first in range(0, len(seen), self.batch_size):
            batch = slice(first, first + self.batch_size)
            crops, clean = (torch.stack(of[batch]).to(device) for of in (seen, self.crops))
            _, terms = run(crops[:, :1], crops[:, 1:], clean_infrared=clean[:, :1], clean_visible=clean[:, 1:])
            for name, term in terms.items():
                sums[name] = sums.get(name, 0.0) + term.item() * len(crops)
        return {name: total / len(seen) for name, total in sums.items()}

    def images(self, step: GuidedStep) -> list[Image.Image]:
        """Infrared, visible and what the stage's features decode to, side by side, of each pair that is shown."""
        return [side_by_side(step, pair.to(step.model.device)) for pair in self.shown]


def whole_crops(image: np.ndarray, crop_size: int) -> Tensor:
    """The largest middle square of a pair whose side is a multiple of the crop, as `(2, side, side)` in [0, 1]."""
    return centre_crop(image, min(image.shape[1:]) // crop_size * crop_size)


def side_by_side(step: GuidedStep, pair: Tensor) -> Image.Image:
    """One row of grey images: infrared, visible, decoded (both images decoded where the stage has no fused one)."""
    infrared, visible = pair[:1, None], pair[1:, None]
    decoded = step.decode(infrared, visible)
    row = torch.cat([infrared, visible, *decoded.split(1)], dim=-1)[0, 0].clamp(0, 1)
    return Image.fromarray((row.cpu().numpy() * 255).round().astype(np.uint8))


def show(accelerator: Accelerator, images: list[Image.Image], folder: Path, name: str, step: int) -> None:
    """Save images as `folder/STEP_NAME_NUMBER.png`, and log them where the tracker takes images."""
    if not accelerator.is_main_process:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        write_image(image, folder / f"{step:07d}_{name}_{number}.png")
        for tracker in accelerator.trackers:
            if tracker.name == "tensorboard":
                tracker.writer.add_image(f"{name}/{number}", np.asarray(image), step, dataformats="HW")
            elif hasattr(tracker, "log_images"):
                tracker.log_images({f"{name}/{number}": [image]}, step=step)
