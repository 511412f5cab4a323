"""A segmenter of about a million parameters: the first eleven blocks of EfficientNet-Lite0 and a small pyramid."""

from pathlib import Path

import torch
from torch import Tensor, nn

from .intersection_over_union import CLASSES

BLOCKS = (
    # kernel, stride, expansion, channels
    (3, 1, 1, 16),
    (3, 2, 6, 24),
    (3, 1, 6, 24),
    (5, 2, 6, 40),
    (5, 1, 6, 40),
    (3, 2, 6, 80),
    (3, 1, 6, 80),
    (3, 1, 6, 80),
    (5, 1, 6, 112),
    (5, 1, 6, 112),
    (5, 1, 6, 112),
)
STEM_CHANNELS = 32
LEVELS = (2, 4, 10)
"""After which blocks features go into the pyramid: strides 4, 8 and 16."""

PYRAMID_CHANNELS = 64


def convolution(channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Padded as TensorFlow does, which the pretrained weights come from, and with batch norm behind it."""
    before = (kernel - stride) // 2
    after = kernel - stride - before
    return nn.Sequential(
        nn.ZeroPad2d((before, after, before, after)),
        nn.Conv2d(channels_in, channels_out, kernel, stride, groups=groups, bias=False),
        nn.BatchNorm2d(channels_out, eps=1e-3),
    )


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project; with a shortcut where the shape stays."""

    def __init__(self, channels_in: int, kernel: int, stride: int, expansion: int, channels_out: int) -> None:
        super().__init__()
        wide = channels_in * expansion
        expand = [convolution(channels_in, wide, 1), nn.ReLU6()] if expansion > 1 else []
        filtered = [convolution(wide, wide, kernel, stride, groups=wide), nn.ReLU6()]
        self.layers = nn.Sequential(*expand, *filtered, convolution(wide, channels_out, 1))
        self.keeps_shape = stride == 1 and channels_in == channels_out

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features) + features if self.keeps_shape else self.layers(features)


class Segmenter(nn.Module):
    """`(B, C, H, W)` luminance of mean 0 and deviation about 1/2 → `(B, classes, H, W)` logits.

    Args:
        channels_in: C, 1, or 2 for both sources stacked.
        weights: state dict file of EfficientNet-Lite0 trained on ImageNet; without one, weights are random.
    """

    def __init__(self, channels_in: int, weights: Path | None, classes: int = len(CLASSES)) -> None:
        super().__init__()
        self.stem = nn.Sequential(convolution(channels_in, STEM_CHANNELS, 3, 2), nn.ReLU6())
        widths = [STEM_CHANNELS, *(channels for *_, channels in BLOCKS)]
        self.blocks = nn.ModuleList(InvertedResidual(width, *block) for width, block in zip(widths, BLOCKS))
        self.laterals = nn.ModuleList(nn.Conv2d(BLOCKS[level][-1], PYRAMID_CHANNELS, 1) for level in LEVELS)
        self.head = nn.Sequential(
            convolution(PYRAMID_CHANNELS, PYRAMID_CHANNELS, 3), nn.ReLU6(), nn.Conv2d(PYRAMID_CHANNELS, classes, 1)
        )
        if weights is not None:
            load_encoder(self, weights)

    def forward(self, images: Tensor) -> Tensor:
        features, levels = self.stem(images), []
        for number, block in enumerate(self.blocks):
            features = block(features)
            if number in LEVELS:
                levels.append(features)
        *finer, coarsest = [lateral(level) for lateral, level in zip(self.laterals, levels)]
        merged = coarsest
        for level in reversed(finer):
            merged = level + enlarged(merged, level)
        return enlarged(self.head(merged), images)


def enlarged(features: Tensor, like: Tensor) -> Tensor:
    """Bilinearly to the height and width of another tensor."""
    return nn.functional.interpolate(features, size=like.shape[-2:], mode="bilinear")


def load_encoder(segmenter: Segmenter, path: Path) -> None:
    """Put EfficientNet-Lite0's weights into stem and blocks.

    The stem's three colours are added up for luminance, and shared out evenly where there are several channels.

    Raises:
        OSError: no such file.
        RuntimeError: weights of another shape.
        KeyError: weights that are missing.
    """
    state = torch.load(path, map_location="cpu", weights_only=True)
    stem = state["_conv_stem.weight"].sum(dim=1, keepdim=True)
    channels_in = segmenter.stem[0][1].in_channels
    state["_conv_stem.weight"] = stem.expand(-1, channels_in, -1, -1) / channels_in
    fill(segmenter.stem[0], state, "_conv_stem", "_bn0")
    for number, block in enumerate(segmenter.blocks):
        convolutions = [layer for layer in block.layers if isinstance(layer, nn.Sequential)]
        names = [("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]
        if len(convolutions) == 3:
            names.insert(0, ("_expand_conv", "_bn0"))
        for layer, pair in zip(convolutions, names):
            fill(layer, state, *(f"_blocks.{number}.{name}" for name in pair))


def fill(layer: nn.Sequential, state: dict[str, Tensor], convolution_name: str, norm_name: str) -> None:
    """Copy one convolution and its batch norm."""
    _, weights, norm = layer
    weights.load_state_dict({"weight": state[f"{convolution_name}.weight"]})
    keys = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    norm.load_state_dict({key: state[f"{norm_name}.{key}"] for key in keys})
