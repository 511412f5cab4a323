"""From files to fused images: the checkpoint, the pairs of two folders, one pair through the model, and what
thermal cameras write."""

from .batch_fusion import fuse_batch
from .checkpoint import SHIPPED_CHECKPOINT, SHIPPED_CHECKPOINTS, load_checkpoint, torch_device
from .file_fusion import FusedFiles, fuse_files
from .pair_fusion import FusedInStrips, FusedPair, fuse_in_strips, fuse_pair
from .pairs import PairPaths, find_pairs, images_by_name, match_pairs

__all__ = [
    "SHIPPED_CHECKPOINT",
    "SHIPPED_CHECKPOINTS",
    "FusedFiles",
    "FusedInStrips",
    "FusedPair",
    "PairPaths",
    "find_pairs",
    "fuse_batch",
    "fuse_files",
    "fuse_in_strips",
    "fuse_pair",
    "images_by_name",
    "load_checkpoint",
    "match_pairs",
    "torch_device",
]
