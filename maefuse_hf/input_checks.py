# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""What `MaeFuseModel.forward` refuses before it does any work."""

from torch import Tensor

from .configuration_maefuse import MaeFuseConfig


def check_inputs(infrared: Tensor, visible: Tensor, patch_size: int) -> None:
    """Raise a `ValueError` where two images are no luminance, of two sizes, or not of whole patches."""
    for name, images in (("infrared", infrared), ("visible", visible)):
        if images.ndim != 4 or images.shape[1] != 1:
            raise ValueError(
                f"{name} has shape {tuple(images.shape)}; (batch, 1, height, width) luminance is needed, as "
                "MaeFuseImageProcessor makes it."
            )
    if infrared.shape != visible.shape:
        raise ValueError(
            f"infrared has shape {tuple(infrared.shape)} and visible {tuple(visible.shape)}; they must be equal. "
            "Registered images of one size are needed."
        )
    height, width = infrared.shape[-2:]
    if height % patch_size or width % patch_size or height == 0 or width == 0:
        raise ValueError(
            f"The images are {height}x{width}; both sides must be multiples of the patch size "
            f"{patch_size}. MaeFuseImageProcessor(size_divisor={patch_size}) pads them and crops the "
            "result."
        )


def check_attentions(config: MaeFuseConfig, tiles: int) -> None:
    """Raise a `ValueError` where a model gives no attention weights of an image that is fused in so many tiles."""
    kernel, attention = config._attn_implementation, config.fusion_attention
    if attention == "pointwise" or (attention == "global" and kernel != "eager"):
        raise ValueError(
            f"output_attentions=True, but fusion_attention={attention!r} under attn_implementation={kernel!r} gives "
            "no weights. Load the model with attn_implementation='eager'; pointwise attention has none."
        )
    if tiles > 1 and attention == "global":
        raise ValueError(
            f"output_attentions=True, but the image is fused in {tiles} tiles, within which global attention "
            "has its keys, so that there are no weights of the whole image. Give images of one tile, "
            f"{config.tile_size} patches a side, or set tile_size to None."
        )


def content_size(images: Tensor, sizes: Tensor) -> tuple[int, int]:
    """Height and width of what is no padding in `(B, 1, H, W)`; a `ValueError` if `(B, 2)` sizes are not one size."""
    height, width = sizes[0].tolist()
    if (sizes != sizes[0]).any() or not (0 < height <= images.shape[-2] and 0 < width <= images.shape[-1]):
        raise ValueError(
            f"The sizes before padding are {sizes.tolist()}, the images {tuple(images.shape[-2:])}; one size within "
            "the images is needed for all of a batch, as MaeFuseImageProcessor gives it."
        )
    return height, width
