"""Images to look at: side by side, with an enlarged patch, in a thermal camera's colours."""

from .captioned_row import side_by_side
from .thermal_palette import PALETTES, seen_infrared, thermal_overlay
from .zoom import CHOICE_OF_PATCH, Patch, differing_patch, patch_at, with_patch

__all__ = [
    "CHOICE_OF_PATCH",
    "PALETTES",
    "Patch",
    "differing_patch",
    "patch_at",
    "seen_infrared",
    "side_by_side",
    "thermal_overlay",
    "with_patch",
]
