"""Where the infrared image lies in the photo: found, kept in a rig file, and applied."""

from .rig import MODELS, Rig, load_rig, save_rig
from .warp import warp_infrared

__all__ = [
    "MODELS",
    "Rig",
    "load_rig",
    "save_rig",
    "warp_infrared",
]
