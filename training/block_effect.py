"""How far an image shows the grid of patches it was decoded from: the block effect of the paper as a number."""

import torch
from torch import Tensor


def block_effect(images: Tensor, patch_size: int) -> Tensor:
    """The mean step between neighbouring pixels across patch borders over the mean step elsewhere.

    An image that does not know of the grid has about 1; the more its patches stand apart, the higher.

    Args:
        images: `(B, 1, H, W)`, H and W multiples of `patch_size` and more than one patch.
        patch_size: side of a patch in pixels.

    Returns:
        `(B,)`; NaN where nothing changes within the patches.
    """
    borders, elsewhere = [], []
    for steps in (images.diff(dim=-1), images.diff(dim=-2).transpose(-1, -2)):
        places = torch.arange(1, steps.shape[-1] + 1, device=images.device) % patch_size == 0
        borders.append(steps[..., places].abs().flatten(1))
        elsewhere.append(steps[..., ~places].abs().flatten(1))
    return torch.cat(borders, dim=1).mean(dim=1) / torch.cat(elsewhere, dim=1).mean(dim=1)
