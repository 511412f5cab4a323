"""Where the infrared image lies in the photo: found, kept in a rig file, and applied.

Finding it needs the extra `align`; the rig file does not.
"""

from .overlay import overlay_image
from .registering import TRUSTED, Registration, RegistrationRefusedError, register, register_pairs
from .rig import MODELS, Rig, load_rig, save_rig
from .search_range import SearchRange
from .warp import warp_infrared

__all__ = [
    "MODELS",
    "TRUSTED",
    "Registration",
    "RegistrationRefusedError",
    "Rig",
    "SearchRange",
    "load_rig",
    "overlay_image",
    "register",
    "register_pairs",
    "save_rig",
    "warp_infrared",
]
