# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""An image by which a person sees whether infrared lies right."""

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from ..colour import WHITE
from .rig import Rig
from .warp import warp_infrared

FRAME = (255, 210, 0)


def overlay_image(infrared: np.ndarray, photo: Image.Image, rig: Rig) -> Image.Image:
    """Infrared in red over the photo in cyan, and infrared's frame in yellow.

    Contrast is equalised in both, so that edges are seen by night too. Where one edge has a red and a cyan outline,
    infrared does not lie right there.

    Args:
        infrared: (h, w), finite, of the rig's infrared size.
        photo: of the rig's photo size.

    Raises:
        ValueError: infrared is of another size.
    """
    warped = warp_infrared(infrared, rig)
    low, high = np.percentile(warped, (0.5, 99.5))
    values = (warped - low) / max(high - low, np.finfo(np.float32).tiny)
    red = ImageOps.equalize(Image.fromarray(np.rint(values.clip(0, 1) * WHITE).astype(np.uint8)))
    frame = [(float(across), float(down)) for across, down in rig.footprint]
    inside = Image.new("L", photo.size)
    ImageDraw.Draw(inside).polygon(frame, fill=WHITE)
    grey = ImageOps.equalize(photo.convert("L"))
    image = Image.merge("RGB", (Image.composite(red, grey, inside), grey, grey))
    ImageDraw.Draw(image).line([*frame, frame[0]], fill=FRAME, width=max(1, max(photo.size) // 400))
    return image
