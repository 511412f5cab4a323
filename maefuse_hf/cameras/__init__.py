"""Files of thermal cameras: temperatures, the embedded photo, and where infrared lies in it."""

from .camera_pair import Box, CameraPair
from .reading import open_camera_file, open_infrared
from .temperature_image import UNITS, open_temperature_image, require_tiff_suffix, write_temperature_map

__all__ = [
    "UNITS",
    "Box",
    "CameraPair",
    "open_camera_file",
    "open_infrared",
    "open_temperature_image",
    "require_tiff_suffix",
    "write_temperature_map",
]
