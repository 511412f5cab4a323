"""Foreign files to models: the paper's authors' checkpoints, and masked autoencoders in their original layout."""

from .encoder import model_from_encoder
from .hub_checkpoint import find_checkpoint
from .mae import read_mae_encoder
from .maefuse import convert_checkpoint

__all__ = [
    "convert_checkpoint",
    "find_checkpoint",
    "model_from_encoder",
    "read_mae_encoder",
]
