"""What happens inside the model, as images: its features by their main directions, and where the merging looks."""

from collections.abc import Mapping

import numpy as np
import torch
from PIL import Image

from maefuse_hf import MaeFuseConfig, MaeFuseOutput

FROM_PHOTO, FROM_INFRARED = (40, 110, 235), (245, 130, 20)
FULL_COLOUR_AT = 0.3
"""How far from an even weight a place is of full colour in `blend_weight_image`."""

OVERLAY = 0.6
"""How much of `blend_weight_image` is colour; the rest is the grey image underneath."""

CONTRAST = 3.0
"""How many standard deviations of a principal component become black to white."""

SMALLEST_SPREAD = 1e-12
"""Keeps an even image grey where its components do not spread at all."""


def feature_images(
    features: Mapping[str, torch.Tensor], empty: Mapping[str, torch.Tensor], grid: tuple[int, int]
) -> dict[str, Image.Image]:
    """The three strongest directions of all features together as red, green and blue.

    What an image without content has at each place is taken off first, since features also tell where they are.
    One basis serves all, so that one colour means the same kind of content in each image.

    Args:
        features: name to (tokens, hidden) in raster order.
        empty: the same of an image without content.
        grid: (rows, columns) of tokens.

    Returns:
        name to an RGB image of one pixel a token.
    """
    content = [(features[name] - empty[name]).double().cpu() for name in features]
    centred = [tokens - tokens.mean(dim=0) for tokens in content]
    _, directions = torch.linalg.eigh(sum(tokens.T @ tokens for tokens in centred))
    strongest = directions[:, -3:].flip(1)
    # a direction's sign is arbitrary: its largest entry shall be positive
    strongest = strongest * strongest.gather(0, strongest.abs().argmax(dim=0, keepdim=True)).sign()
    images = {}
    for name, tokens in zip(features, centred, strict=True):
        components = tokens @ strongest
        spread = (CONTRAST * components.std(dim=0)).clamp_min(SMALLEST_SPREAD)
        colours = (255 * (0.5 + components / spread).clamp(0, 1)).round().byte()
        images[name] = Image.fromarray(colours.reshape(*grid, 3).numpy())
    return images


def has_blend_weights(config: MaeFuseConfig) -> bool:
    """Whether the merging module of such a model weighs infrared against visible, and gives its weights."""
    return config.fusion_attention == "local" and config.merging_joint_softmax


def infrared_blend_weights(outputs: MaeFuseOutput, grid: tuple[int, int]) -> np.ndarray:
    """At each place how much of the merging module's attention goes to infrared, the mean of its heads.

    Args:
        outputs: of one pair, with attentions, from a model that `has_blend_weights`.
        grid: (rows, columns) of tokens.

    Returns:
        `grid` in [0, 1]; the rest goes to the photo.
    """
    assert outputs.attentions is not None
    weights = outputs.attentions["contour_to_both"][0].float()
    to_infrared = weights[..., : weights.shape[-1] // 2].sum(dim=-1)
    return to_infrared.mean(dim=0).reshape(grid).cpu().numpy()


def blend_weight_image(weights: np.ndarray, image: Image.Image) -> Image.Image:
    """The weights as colours over a grey image: orange where infrared counts more, blue where the photo does.

    Args:
        weights: (H, W) in [0, 1].
        image: of the size (H, W), any mode.

    Returns:
        an RGB image.
    """
    lean = ((weights - 0.5) / FULL_COLOUR_AT).clip(-1, 1)[..., None]
    colour = np.where(lean > 0, np.array(FROM_INFRARED), np.array(FROM_PHOTO))
    grey = np.asarray(image.convert("L"), dtype=np.float64)[..., None]
    amount = OVERLAY * np.abs(lean)
    return Image.fromarray(np.rint((1 - amount) * grey + amount * colour).astype(np.uint8))


def enlarged(tokens: Image.Image, patch: int, size: tuple[int, int]) -> Image.Image:
    """One pixel a token to `size` (width, height): each token as large as its patch, padding cut off."""
    return tokens.resize((tokens.width * patch, tokens.height * patch), Image.Resampling.NEAREST).crop((0, 0, *size))
