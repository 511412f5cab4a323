"""A few metrics of the fused image, beside those of the photo alone and of infrared alone, as a table."""

import math
from collections.abc import Mapping

import numpy as np
import torch
from PIL import Image

from maefuse_hf.colour import luminance_8_bit
from maefuse_hf.evaluation import Cell, as_html, table_of
from maefuse_hf.metrics import (
    correlation_coefficient,
    edge_preservation,
    entropy,
    structural_similarity,
    sum_of_correlations_of_differences,
    visual_information_fidelity,
)

MEANINGS = {
    "EN": "Entropy: how much variety of grey values the image holds, in bits.",
    "CC": "Correlation with both sources: does it follow the photo and infrared?",
    "SCD": "What the image has beyond one source: does it come from the other?",
    "VIF": "Visual information of both sources that is still to be seen.",
    "Qabf": "Edges of both sources that are kept, 1 is all of them.",
    "SSIM": "Structural similarity with both sources, 1 is alike.",
}
"""Each metric in a line; docs/metrics.md has the definitions. Higher is better for all of them."""

LONGEST_SIDE = 1024
"""Larger images are measured reduced to this: the metrics' time grows with the area."""

UNDEFINED = "–"


def measure(images: Mapping[str, Image.Image], infrared: Image.Image, visible: Image.Image) -> dict[str, list[float]]:
    """Metrics of each image against both sources, on 8-bit luminance.

    Args:
        images: what to measure by name; any mode, all of one size with the sources.
        infrared, visible: the sources.

    Returns:
        metric to its values in the order of `images`; NaN where it has none (SCD of a source itself).
    """
    sources = luminance(infrared), luminance(visible)
    trios = [(luminance(image), *sources) for image in images.values()]
    columns = [
        {
            "EN": entropy(trio[0]),
            "CC": correlation_coefficient(*trio, allow_undefined=True),
            "SCD": sum_of_correlations_of_differences(*trio, allow_undefined=True),
            "VIF": visual_information_fidelity(*trio, allow_undefined=True),
            "Qabf": edge_preservation(*trio, allow_undefined=True),
            "SSIM": structural_similarity(*trio, allow_undefined=True),
        }
        for trio in trios
    ]
    return {name: [column[name].item() for column in columns] for name in MEANINGS}


def luminance(image: Image.Image) -> torch.Tensor:
    """An image as (1, 1, H, W) uint8 luminance, as `maefuse evaluate` takes it, no longer than `LONGEST_SIDE`."""
    grey = Image.fromarray(luminance_8_bit(image))
    grey.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(grey))[None, None]


def as_table(names: list[str], values: Mapping[str, list[float]]) -> str:
    """An HTML table: a row for each metric with its meaning, a column for each image, the best value marked."""
    rows = []
    for metric, row in values.items():
        best = max((value for value in row if not math.isnan(value)), default=math.nan)
        cells = [Cell(UNDEFINED if math.isnan(value) else f"{value:.2f}", best=value == best) for value in row]
        rows.append([Cell(metric, MEANINGS[metric]), *cells])
    return as_html(table_of(["higher is better", *names], rows))
