"""How well a fixed detector finds people and cars in fused images, by day and by night.

python -m benchmarks.downstream.detect --images DIR [NAME=DIR …] --split splits/downstream_test.txt \
    --labels DIR --detector FILE.tflite [-o FILE.json]

DIR holds one image for each name of the split. Colour images are measured by their luminance.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from maefuse_hf.colour import luminance_8_bit
from maefuse_hf.evaluation.table import Cell, as_markdown, table_of
from maefuse_hf.image_files import FORMATS

from .average_precision import Matches, PrecisionCurve, match
from .bootstrap import RESAMPLES, Interval, intervals
from .boxes import LABELS, read_labels, truths
from .detector import Detections, Detector, TfliteDetector

WORKERS = 2
TIMES_OF_DAY = {"": "DN", " by day": "D", " by night": "N"}
"""What is added to a kind's name, and the last letters of the pairs that count for it."""


def detector_ap(
    fused_images: Mapping[str, np.ndarray],
    names: Sequence[str],
    labels_dir: Path,
    detector: Detector,
    cache: Path | None = None,
) -> dict[str, float]:
    """Average precision of a detector on the fused images of one system.

    Args:
        fused_images: by pair name, `(H, W)` or `(H, W, 3)` uint8 of the label images' size; colour is taken as it is.
        names: the pairs to measure.
        labels_dir: holds NAME.png with the levels of `boxes.LABELS`.
        detector: see `detector.Detector`.
        cache: a file that keeps detections, so that a run that was stopped goes on.

    Returns:
        AP at IoU 0.4 in 0…1 under "person", "person by day", "person by night" and the same of "car"; NaN where
        there is none to find.

    Raises:
        KeyError: a pair without an image.
        ValueError: an image of another size than its labels.
        OSError: labels that cannot be read.
    """
    curves = precision_curves(fused_images, names, labels_dir, detector, cache)
    return {
        kind + suffix: curve.average_precision(counted(names, letters))
        for kind, curve in curves.items()
        for suffix, letters in TIMES_OF_DAY.items()
    }


def detector_intervals(
    curves: Mapping[str, Mapping[str, PrecisionCurve]], names: Sequence[str], reference: str, resamples: int = RESAMPLES
) -> dict[str, tuple[dict[str, Interval], dict[str, Interval]]]:
    """Intervals of each column's AP by system, and of the differences to the reference system.

    Args:
        curves: by system, of `precision_curves` on the same names.
    """
    columns = {}
    for kind in LABELS:
        for suffix, letters in TIMES_OF_DAY.items():
            figures = {system: partial(ap_of, own[kind], counted(names, letters)) for system, own in curves.items()}
            columns[kind + suffix] = intervals(figures, len(names), reference, resamples)
    return columns


def ap_of(curve: PrecisionCurve, counts: np.ndarray, times: np.ndarray) -> float:
    """AP over the images that count, each so many times."""
    return curve.average_precision(counts * times)


def precision_curves(
    fused_images: Mapping[str, np.ndarray],
    names: Sequence[str],
    labels_dir: Path,
    detector: Detector,
    cache: Path | None = None,
    progress: str | None = None,
) -> dict[str, PrecisionCurve]:
    """The sorted detections of people and cars, see `detector_ap`; with a bar of the name `progress`."""
    known = read_cache(cache)
    matches: dict[str, list[Matches]] = {kind: [] for kind in LABELS}

    def measure(name: str) -> tuple[str, dict[str, Detections], bool]:
        image = fused_images[name]
        rgb = np.ascontiguousarray(np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image)
        key = sha256(f"{detector.identity} {rgb.shape} ".encode() + rgb.tobytes()).hexdigest()
        return (key, known[key], False) if key in known else (key, detector.detect(rgb), True)

    with ThreadPoolExecutor(WORKERS) as workers:
        results = workers.map(measure, names)
        for name, (key, detections, new) in zip(
            names, tqdm(results, total=len(names), unit="image", desc=progress, disable=progress is None)
        ):
            if new and cache is not None:
                append_cache(cache, key, detections)
            labels = read_labels(labels_dir, name)
            if labels.shape != fused_images[name].shape[:2]:
                raise ValueError(f"{name} is {fused_images[name].shape[:2]}, its labels are {labels.shape}.")
            for kind, truth in truths(labels).items():
                matches[kind].append(match(*detections[kind], truth))
    return {kind: PrecisionCurve(own) for kind, own in matches.items()}


def counted(names: Sequence[str], letters: str) -> np.ndarray:
    """1 for names that end in one of the letters, else 0."""
    return np.array([float(name[-1] in letters) for name in names])


def read_cache(path: Path | None) -> dict[str, dict[str, Detections]]:
    """Detections by key; lines that were cut short are left out."""
    if path is None or not path.is_file():
        return {}
    known = {}
    for line in path.read_text().splitlines():
        try:
            key, kinds = json.loads(line)
        except json.JSONDecodeError:
            continue
        known[key] = {
            kind: Detections(np.array(scores, dtype=np.float64), np.array(boxes, dtype=np.float64).reshape(-1, 4))
            for kind, (scores, boxes) in kinds.items()
        }
    return known


def append_cache(path: Path, key: str, detections: Mapping[str, Detections]) -> None:
    """Add a line; it begins with the line's end, so that one which was cut short spoils none."""
    kinds = {kind: [own.scores.tolist(), own.boxes.tolist()] for kind, own in detections.items()}
    with path.open("a") as file:
        file.write("\n" + json.dumps([key, kinds]))


class ImageFolder(Mapping[str, np.ndarray]):
    """Luminance of the images in a folder by name, read when asked for.

    Raises:
        OSError: no such folder.
        KeyError: when asked for a name that has no image, or several.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._paths: dict[str, list[Path]] = {}
        for path in sorted(folder.iterdir()):
            self._paths.setdefault(path.stem, []).append(path)

    def __getitem__(self, name: str) -> np.ndarray:
        paths = self._paths.get(name, [])
        if len(paths) != 1:
            raise KeyError(f"{self._folder} holds {len(paths)} images of the name {name}; one is needed")
        return luminance_8_bit(Image.open(paths[0], formats=FORMATS))

    def __iter__(self):
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


def table(columns: Mapping[str, tuple[Mapping[str, Interval], Mapping[str, Interval]]]) -> str:
    """AP in percent as Markdown, a system a row; * marks a difference to the reference, the first row, that is real."""
    systems = list(next(iter(columns.values()))[0])
    rows = []
    for system in systems:
        cells = [Cell(system)]
        for values, differences in columns.values():
            value = values[system]
            mark = "*" if system in differences and differences[system].excludes_zero else ""
            cells.append(Cell(f"{100 * value.value:.1f}{mark}", f"({100 * value.low:.1f}–{100 * value.high:.1f})"))
        rows.append(cells)
    return as_markdown(table_of(["system", *columns], rows))


def read_split(path: Path) -> list[str]:
    """Pair names, one a line; a `ValueError` if there are none."""
    names = path.read_text().split()
    if not names:
        raise ValueError(f"{path} names no pairs.")
    return names


def named_folder(argument: str) -> tuple[str, Path]:
    """NAME=DIR, or DIR under its own name."""
    name, found, folder = argument.partition("=")
    return (name, Path(folder)) if found else (Path(argument).resolve().name, Path(argument))


def as_json(columns: Mapping[str, tuple[Mapping[str, Interval], Mapping[str, Interval]]]) -> dict:
    """Values, intervals and differences by column and system."""
    return {
        column: {
            "values": {system: value._asdict() for system, value in values.items()},
            "differences": {
                system: {**value._asdict(), "real": value.excludes_zero} for system, value in differences.items()
            },
        }
        for column, (values, differences) in columns.items()
    }


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure a detector on folders of fused images.")
    parser.add_argument("--images", nargs="+", required=True, type=named_folder, metavar="NAME=DIR")
    parser.add_argument("--split", type=Path, required=True, help="file of pair names")
    parser.add_argument("--labels", type=Path, required=True, help="folder of label images")
    parser.add_argument("--detector", type=Path, required=True, help=".tflite file")
    parser.add_argument("--cache", type=Path, default=Path("runs/downstream/detections.jsonl"))
    parser.add_argument("--resamples", type=int, default=RESAMPLES, help="of the bootstrap")
    parser.add_argument("-o", "--output", type=Path, help="JSON file for values, intervals and differences")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    names = read_split(options.split)
    options.cache.parent.mkdir(parents=True, exist_ok=True)
    detector = TfliteDetector(options.detector)
    curves = {}
    for system, folder in options.images:
        images = ImageFolder(folder)
        curves[system] = precision_curves(images, names, options.labels, detector, options.cache, progress=system)
    columns = detector_intervals(curves, names, next(iter(curves)), options.resamples)
    print(table(columns))
    if options.output:
        options.output.write_text(json.dumps(as_json(columns), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
