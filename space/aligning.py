"""Where infrared lies in an uploaded photo: found, shown, or refused in a sentence."""

import math
from dataclasses import dataclass, replace

import numpy as np
from fusing import read_whole_pair
from PIL import Image

from maefuse_hf.inference.file_registration import luminance
from maefuse_hf.registration import (
    TRUSTED,
    Registration,
    RegistrationRefusedError,
    Rig,
    SearchRange,
    overlay_image,
    register,
)

SEARCH = SearchRange()
LONGEST_OVERLAY = 1280
"""Pixels of the overlay's longer side."""

ADVICE = (
    "Give a pair in which both images show clear edges of the same things, infrared covering "
    f"{SEARCH.scale[0]:g} to {SEARCH.scale[1]:g} of the photo's width, turned by {SEARCH.rotation:g}° at most."
)
LOOK = "The tab “Alignment” shows the best place that was found."


@dataclass(frozen=True, eq=False)
class Alignment:
    """What registration said of a pair.

    Attributes:
        registration: the best transform, trusted or not; None where there was none.
        refusal: why it is not fused, for the person who gave the pair; empty where it is trusted.
    """

    registration: Registration | None
    refusal: str = ""

    def trusted_rig(self) -> Rig:
        """Where infrared lies; a `ValueError` that says why it is not trusted."""
        if self.registration is None or self.refusal:
            raise ValueError(f"{self.refusal} {LOOK}" if self.registration else self.refusal)
        return self.registration.rig


def align_files(infrared: str | None, visible: str | None) -> Alignment:
    """Register two uploaded files, or the two images in a thermal camera's file.

    Raises:
        OSError, ValueError: the files cannot be used, as `open_pair` says.
    """
    values, photo = read_whole_pair(infrared, visible)
    try:
        return Alignment(register(values, luminance(photo), search=SEARCH))
    except RegistrationRefusedError as refused:
        return Alignment(refused.registration, f"Not aligned. {refused.reason} {ADVICE}")


def overlay_of(infrared: str | None, visible: str | None, rig: Rig) -> Image.Image:
    """Infrared in red over the photo in cyan, no longer than `LONGEST_OVERLAY`."""
    values, photo = read_whole_pair(infrared, visible)
    photo.thumbnail((LONGEST_OVERLAY, LONGEST_OVERLAY), Image.Resampling.LANCZOS)
    across, down = (small / whole for small, whole in zip(photo.size, rig.visible_size))
    smaller = replace(
        rig, visible_size=photo.size, transform=np.diag((across, down, 1)) @ rig.transform, model="homography"
    )
    return overlay_image(values, photo, smaller)


def described(alignment: Alignment) -> str:
    """The score and where infrared lies, or why it was refused, in Markdown."""
    if alignment.registration is None:
        return alignment.refusal
    rig = alignment.registration.rig
    score = (
        f"**Score {rig.score:.2f}**, {TRUSTED:.2f} is needed: the share of the image's parts that, each for itself, "
        "find the same place."
    )
    if alignment.refusal:
        return f"{alignment.refusal}\n\n{score} This is the best place that was found; nothing was fused."
    top = rig.footprint[1] - rig.footprint[0]
    share = math.hypot(*top) / rig.visible_size[0]
    turn = math.degrees(math.atan2(top[1], top[0]))
    across, down = rig.footprint.mean(axis=0) - np.array(rig.visible_size) / 2
    return (
        f"{score} Infrared covers {share:.2f} of the photo's width, turned by {turn:.1f}°; its middle lies "
        f"{across:+.0f}, {down:+.0f} pixels (across, down) from the photo's. Where one edge has a red and a cyan "
        "outline, it does not lie right there: things much nearer or farther than most cannot."
    )
