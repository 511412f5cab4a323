"""From files to fused pictures: the checkpoint, the pairs of two folders, one pair through the model."""

from .checkpoint import SHIPPED_CHECKPOINT, load_checkpoint, torch_device
from .pair_fusion import FusedPair, fuse_pair
from .pairs import PairPaths, find_pairs, match_pairs, pictures_by_name

__all__ = [
    "SHIPPED_CHECKPOINT",
    "FusedPair",
    "PairPaths",
    "find_pairs",
    "fuse_pair",
    "load_checkpoint",
    "match_pairs",
    "pictures_by_name",
    "torch_device",
]
