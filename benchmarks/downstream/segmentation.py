"""The one recipe by which the segmenter is trained and tested for every system."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .intersection_over_union import CLASSES, confusion
from .segmenter import Segmenter


@dataclass(frozen=True)
class Recipe:
    """How the segmenter is trained: the same for each system."""

    size: tuple[int, int] = (240, 320)
    crop: tuple[int, int] = (192, 256)
    epochs: int = 14
    batch_size: int = 8
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2


DEVIATION = 0.5
"""Of the normalised images: about what the encoder was pretrained on."""


def train_and_test(
    training: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    recipe: Recipe,
    seed: int,
    weights: Path | None,
) -> np.ndarray:
    """Train a segmenter and count what it makes of the test images.

    Images are normalised by mean and deviation of the training images, channel by channel, so that neither brightness
    nor contrast of a system matters by itself. AdamW with one cycle of the learning rate, random crops and mirroring,
    cross-entropy with each class weighted by the inverse square root of its share.

    Args:
        training, test: images `(N, C, H, W)` uint8 and labels `(N, H, W)` uint8.
        recipe: see `Recipe`.
        seed: of initialization, order, crops.
        weights: of the encoder, see `Segmenter`.

    Returns:
        `(test images, classes, classes)` int64, see `confusion`.
    """
    torch.manual_seed(seed)
    images, labels = (torch.from_numpy(array) for array in training)
    mean = images.double().mean(dim=(0, 2, 3), keepdim=True).float()
    deviation = images.double().std(dim=(0, 2, 3), keepdim=True).float()

    def normalised(batch: Tensor) -> Tensor:
        return ((batch - mean) * (DEVIATION / deviation)).to(memory_format=torch.channels_last)

    model = Segmenter(images.shape[1], weights).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    steps_an_epoch = max(1, len(images) // recipe.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=recipe.epochs * steps_an_epoch
    )
    class_weights = weigh_classes(labels)
    for _ in range(recipe.epochs):
        order = torch.randperm(len(images))
        for step in range(steps_an_epoch):
            chosen = order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
            batch, truth = augmented(images[chosen], labels[chosen], recipe.crop)
            loss = nn.functional.cross_entropy(model(normalised(batch)), truth.long(), class_weights)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()

    model.eval()
    counts = []
    with torch.inference_mode():
        for image, truth in zip(*test):
            predicted = model(normalised(torch.from_numpy(image[None]))).argmax(dim=1)[0]
            counts.append(confusion(truth, predicted.numpy()))
    return np.stack(counts)


def weigh_classes(labels: Tensor) -> Tensor:
    """Inverse square root of each class's share of the pixels, mean 1; a class that is not there has weight 0."""
    share = torch.bincount(labels.flatten().int(), minlength=len(CLASSES)) / labels.numel()
    weights = torch.where(share > 0, share.clamp(min=1e-12).rsqrt(), 0)
    return weights / weights[share > 0].mean()


def augmented(images: Tensor, labels: Tensor, crop: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The same random crop for all, and each image mirrored or not."""
    top, left = (int(torch.randint(full - part + 1, ())) for full, part in zip(images.shape[-2:], crop))
    images, labels = (array[..., top : top + crop[0], left : left + crop[1]] for array in (images, labels))
    mirrored = torch.rand(len(images)) < 0.5
    return (
        torch.where(mirrored[:, None, None, None], images.flip(-1), images).float(),
        torch.where(mirrored[:, None, None], labels.flip(-1), labels),
    )
