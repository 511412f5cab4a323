"""By how much infrared of a data set lies beside the photo, place by place, as many of its pairs together say.

python -m benchmarks.lens_field TRAINING -o field.json [--pairs 200]

A data set's own registration may be off by more than one transform can say: the two lenses distort differently.
`benchmarks.registration --lens NAME=field.json` moves infrared by the field first, so that what is left is the error of
the registration that is measured, and parallax. TRAINING holds pairs of the same cameras that are not measured.
"""

import argparse
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from maefuse_hf.image_files import FORMATS
from maefuse_hf.inference import find_pairs
from maefuse_hf.registration.agreement import REACH, local_shifts

DEGREE = 3
"""Of the polynomial in x and y that the field is."""


@dataclass(frozen=True, eq=False)
class LensField:
    """How infrared of (width, height) would have to move to lie on the photo of the same size.

    Attributes:
        size: (width, height).
        low, high: the measured region's corners in pixels; beyond it the field goes on as at its edge.
        coefficients: (10, 2), of the terms of `terms`, in pixels across and down.
    """

    size: tuple[int, int]
    low: tuple[float, float]
    high: tuple[float, float]
    coefficients: np.ndarray

    def at(self, places: np.ndarray) -> np.ndarray:
        """By how much infrared has to move at (N, 2) places in pixels, (N, 2)."""
        return terms(places.clip(self.low, self.high), self.size) @ self.coefficients

    def corrected(self, infrared: np.ndarray) -> np.ndarray:
        """Infrared (H, W) moved by the field; a `ValueError` for another size."""
        height, width = infrared.shape
        if (width, height) != self.size:
            raise ValueError(f"The lens field is of {self.size[0]}×{self.size[1]}; this is {width}×{height}.")
        across, down = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        places = np.stack([across.ravel(), down.ravel()], axis=1)
        sources = places - self.at(places - self.at(places)) - 0.5
        sources = sources.reshape(height, width, 2).astype(np.float32)
        return cv2.remap(infrared, sources, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def terms(places: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """All products of powers of x and y up to `DEGREE`, of (N, 2) places, (N, 10)."""
    x, y = ((places - np.array(size) / 2) / (max(size) / 2)).T
    return np.stack([x**i * y**j for i in range(DEGREE + 1) for j in range(DEGREE + 1 - i)], axis=1)


def measured_field(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> LensField:
    """The field that parts of all pairs, (H, W) each, say on average: where their mean correlation is largest."""
    total, count = np.zeros(1), 0
    for infrared, visible in pairs:
        shifts = local_shifts(infrared.astype(np.float32), visible.astype(np.float32), np.eye(3))
        total, count, size = total + shifts.correlations, count + 1, infrared.shape[::-1]
    steps = np.array([peak(correlations) for correlations in total / count])
    coefficients = np.linalg.lstsq(terms(shifts.places, size), steps * shifts.step, rcond=None)[0]
    low, high = shifts.places.min(axis=0).tolist(), shifts.places.max(axis=0).tolist()
    return LensField(size, tuple(low), tuple(high), coefficients)


def peak(correlations: np.ndarray) -> tuple[float, float]:
    """The largest value's place, across and down from the middle, by parabolas through its neighbours."""
    row, column = np.unravel_index(correlations[1:-1, 1:-1].argmax(), (2 * REACH - 1, 2 * REACH - 1))
    row, column = int(row) + 1, int(column) + 1
    return (
        column - REACH + vertex(*correlations[row, column - 1 : column + 2]),
        row - REACH + vertex(*correlations[row - 1 : row + 2, column]),
    )


def vertex(before: float, at: float, after: float) -> float:
    """Where a parabola through values at -1, 0 and 1 has its vertex."""
    bend = before - 2 * at + after
    return (before - after) / (2 * bend) if bend < 0 else 0.0


def save_field(field: LensField, path: Path) -> None:
    """Write a field's file."""
    values = {"size": field.size, "low": field.low, "high": field.high, "coefficients": field.coefficients.tolist()}
    path.write_text(json.dumps(values, indent=1) + "\n")


def load_field(path: Path) -> LensField:
    """Read a field's file."""
    values = json.loads(path.read_text())
    pairs = (tuple(values[name]) for name in ("size", "low", "high"))
    return LensField(*pairs, np.array(values["coefficients"]))


def grey(path: Path) -> np.ndarray:
    """An image file's luminance, (H, W) of 8 bits."""
    with Image.open(path, formats=FORMATS) as image:
        return np.asarray(image.convert("L"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=200, help="how many, evenly spread over the folder")
    options = parser.parse_args()
    pairs = find_pairs(options.folder)[0]
    chosen = [pairs[index] for index in np.linspace(0, len(pairs) - 1, min(options.pairs, len(pairs))).astype(int)]
    field = measured_field((grey(pair.infrared), grey(pair.visible)) for pair in tqdm(chosen, unit="pair"))
    save_field(field, options.output)
    left, top, right, bottom = *field.low, *field.high
    across, down = np.meshgrid(np.linspace(left, right, 5), np.linspace(top, bottom, 4))
    moves = field.at(np.stack([across.ravel(), down.ravel()], axis=1)).reshape(4, 5, 2)
    for row in moves:
        print("  ".join(f"{x:+5.1f} {y:+5.1f}" for x, y in row))


if __name__ == "__main__":
    main()
