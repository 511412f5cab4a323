# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""`maefuse evaluate`: measure a model, and images that other methods fused."""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from ..evaluation.baselines import BASELINES
from ..evaluation.damage import DAMAGES
from ..evaluation.onnx_system import OnnxSystem
from ..evaluation.plots import require_matplotlib
from ..evaluation.processes import Processes, launched_processes
from ..evaluation.provenance import data_sha256, weights_sha256
from ..evaluation.report import Example, report
from ..evaluation.robustness import PAIRS_OF_A_DATASET, DamageRow, evaluate_damage, measurable
from ..evaluation.robustness_report import write_damage
from ..evaluation.runner import (
    SOURCES,
    Dataset,
    FolderSystem,
    ModelSystem,
    Row,
    System,
    evaluate,
    image_path,
    images_of,
    read_datasets,
)
from ..evaluation.summary import (
    CONFIDENCE,
    RESAMPLES,
    SEED,
    as_json,
    facts,
    markdown,
    metrics_table,
    ranked_pairs,
    rows_table,
    summarise,
    worth_a_look,
)
from ..evaluation.table import as_csv, as_text
from ..evaluation.torchscript import TorchScriptSystem
from ..image_processing_maefuse import MaeFuseImageProcessor
from ..inference.checkpoint import checkpoint_source, load_checkpoint, torch_device
from ..metrics.fusion import DEFINITIONS, definitions_used
from ..strategies import DEFAULT_CONTOUR, DEFAULT_FUSION
from ..visualization.zoom import differing_patch, with_patch
from ..whole_files import write_text
from .options import (
    DTYPES,
    make_folder,
    model_options,
    refuse_overwriting,
    strategy_options,
)

STRATEGY = {"fusion": DEFAULT_FUSION, "contour": DEFAULT_CONTOUR}


def add_evaluate(commands: Any) -> None:
    """Add `maefuse evaluate` to the subcommands."""
    parser = commands.add_parser(
        "evaluate",
        parents=[model_options(), strategy_options()],
        help="measure a model or fused images on folders of pairs",
        description="Measure a model, and images that other methods fused, on folders of registered pairs: tables "
        "with intervals, a report with plots and images. Baselines stand beside them: each source alone, their "
        "average, their maximum and a rule of pixel formulas. Without --model, --onnx, --torchscript and "
        "--fused, the shipped checkpoint is measured.",
    )
    parser.add_argument(
        "--dataset",
        type=Path,
        nargs="+",
        action="extend",
        required=True,
        metavar="DIR",
        help="folders with infrared/ and visible/ of same-named images, or with metadata.jsonl",
    )
    parser.add_argument(
        "--fused",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=DIR",
        help="images that another method fused, named as the pairs; with several data sets, DIR holds a folder of "
        "each one's name; without NAME=, the row has the folder's name",
    )
    parser.add_argument(
        "--torchscript",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=FILE",
        help="other methods' networks, which take infrared and visible luminance (1, 1, H, W) in [0, 1] and give fused "
        "luminance",
    )
    parser.add_argument(
        "--onnx",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=FILE",
        help="files that `maefuse export onnx` wrote, in its folder; run by onnxruntime on the processor",
    )
    parser.add_argument(
        "--damage",
        nargs="*",
        choices=DAMAGES,
        metavar="KIND",
        help=f"measure on damaged pairs too, against the undamaged sources: all kinds, or those named of "
        f"{', '.join(DAMAGES)}",
    )
    parser.add_argument(
        "--damage-pairs",
        type=positive,
        default=PAIRS_OF_A_DATASET,
        metavar="N",
        help=f"how many pairs of each data set are damaged, spread evenly (default {PAIRS_OF_A_DATASET})",
    )
    parser.add_argument(
        "--keep-damaged",
        action="store_true",
        help="write the damaged pairs to OUT/damaged/, for other methods to fuse; --fused finds their images in "
        "DIR/KIND-STRENGTH/",
    )
    parser.add_argument(
        "--definition",
        choices=DEFINITIONS,
        default="standard",
        help="compute the metrics that have a definition of this name by it, the others by their standard one",
    )
    parser.add_argument("--no-images", action="store_true", help="write no side-by-side image of each pair")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder to write to")
    parser.set_defaults(command=evaluate_datasets)


def evaluate_datasets(options: argparse.Namespace) -> int:
    """`maefuse evaluate`: what fails is reported and the rest is done."""
    require_matplotlib()
    processes = launched_processes()
    datasets = read_datasets(options.dataset)
    folders = fused_folders(options.fused, datasets)
    images_folder = None if options.no_images else options.output
    sources = read_files(datasets, folders)
    refuse_overwriting([options.output], {path.parent for path in sources})
    make_folder(options.output)
    if images_folder is not None:
        for dataset in datasets:
            make_folder(images_folder / dataset.name)
        refuse_overwriting(
            (image_path(images_folder, dataset.name, pair) for dataset in datasets for pair in dataset.pairs),
            sources,
        )
    device = torch_device(options.device or processes.device)
    networks = [TorchScriptSystem(*named_file(text), device) for text in options.torchscript]
    exports = [OnnxSystem(*named_file(text)) for text in options.onnx]
    without_model = (options.fused or options.torchscript or options.onnx) and options.model is None
    models = [] if without_model else [load_model(options, device)]
    systems: list[System] = [*models, *exports, *networks, *folders]
    require_different_names(systems)
    about = protocol(options, models, exports, datasets)
    if processes.is_main:
        print("\n".join(f"{name}: {value}" for name, value in facts(about).items()), flush=True)

    rows, problems = evaluate(datasets, systems, processes, options.definition, device, images_folder)
    damage_rows, damage_problems = damage_results(options, datasets, systems, processes, device)
    damage_problems = [problem for problem in damage_problems if problem not in problems]
    if processes.is_main:
        for problem in problems:
            print(f"maefuse: {problem}", file=sys.stderr)
        if not rows:
            raise ValueError("No pair could be measured.")
        write_results(options.output, rows, about, problems, datasets, systems)
        if damage_rows:
            print(write_damage(options.output, damage_rows, datasets, systems, damage_problems, about))
        for problem in damage_problems:
            print(f"maefuse: {problem}", file=sys.stderr)
    # a process that ends badly has the launcher stop the others, so none ends before the main process has written
    processes.wait()
    return 1 if processes.is_main and (problems or damage_problems) else 0


def damage_results(
    options: argparse.Namespace,
    datasets: Sequence[Dataset],
    systems: Sequence[System],
    processes: Processes,
    device: torch.device,
) -> tuple[list[DamageRow], list[str]]:
    """What `--damage` asks for; nothing without it."""
    if options.damage is None:
        return [], []
    able, problems = measurable(systems, datasets)
    keep = options.output / "damaged" if options.keep_damaged else None
    kinds = options.damage or list(DAMAGES)
    rows, more = evaluate_damage(datasets, able, kinds, processes, device, options.damage_pairs, keep)
    return rows, problems + more


def positive(text: str) -> int:
    """A whole number of at least one."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is too small; give 1 or more.")
    return number


def named_file(text: str) -> tuple[str, Path]:
    """NAME=FILE, or FILE under its own name without suffix."""
    name, equals, path = text.partition("=")
    return (name, Path(path)) if equals else (Path(text).stem, Path(text))


def fused_folders(named: Sequence[str], datasets: Sequence[Dataset]) -> list[FolderSystem]:
    """The systems that `--fused` names.

    With one data set, DIR may hold the images themselves. A `ValueError` names a folder that is not there.
    """
    systems = []
    for text in named:
        before, equals, after = text.partition("=")
        name, top = (before, Path(after)) if equals else ("", Path(text))
        folders = {dataset.name: top / dataset.name for dataset in datasets}
        if len(datasets) == 1 and not folders[datasets[0].name].is_dir():
            folders = {datasets[0].name: top}
        systems.append(FolderSystem(name or top.resolve().name, folders))
    return systems


def load_model(options: argparse.Namespace, device: torch.device) -> ModelSystem:
    """The model that shall be measured, under the name of its folder or its name on the Hub."""
    model, processor = load_checkpoint(options.model, str(device), DTYPES[options.dtype])
    source = str(checkpoint_source(options.model))
    name = Path(source).resolve().name if Path(source).is_dir() else source
    changed = {key: getattr(options, key) for key, default in STRATEGY.items() if getattr(options, key) != default}
    if changed:
        name += f" ({', '.join(f'{key} {value}' for key, value in changed.items())})"
    return ModelSystem(name, model, processor, options.fusion, options.contour)


def require_different_names(systems: Sequence[System]) -> None:
    """Raise a `ValueError` if two rows of a table would have one name."""
    taken = {*BASELINES, *SOURCES}
    for system in systems:
        if system.name in taken:
            raise ValueError(f"Another row or image is called {system.name}; name yours with NAME=….")
        taken.add(system.name)


def protocol(
    options: argparse.Namespace,
    models: Sequence[ModelSystem],
    exports: Sequence[OnnxSystem],
    datasets: Sequence[Dataset],
) -> dict[str, Any]:
    """What a reader of the numbers must know, the same for every run of the same evaluation."""
    used = definitions_used(options.definition)
    low, high = MaeFuseImageProcessor.percentiles
    of_model = {}
    if models:
        source = checkpoint_source(options.model)
        of_model = {"model": models[0].name, "weights": options.dtype, "weights sha256": weights_sha256(source)}
    of_exports = {"onnx sha256": {export.name: export.sha256 for export in exports}} if exports else {}
    return {
        "maefuse-hf": installed_version(),
        "torch": torch.__version__,
        **of_model,
        **of_exports,
        "data sha256": {dataset.name: data_sha256(dataset) for dataset in datasets},
        "size": "every pair at its own; an image of another size is refused, nothing is resized",
        "colour": "luminance, Y of BT.601 of 8-bit images, rounded, halves to even; sources deeper than 8 bits are "
        f"first scaled to 8 from their percentiles {low} to {high}",
        "fused": "a model's luminance times 255, rounded, before colour is added; another method's image as it is "
        "saved, in 8 bits, turned to luminance",
        "interval": f"{CONFIDENCE:.0%}, percentile bootstrap over pairs, {RESAMPLES} resamples, seed {SEED}; pairs "
        "without a value are left out",
        "definitions": {metric: used(metric) for metric in sorted(set().union(*DEFINITIONS.values()))},
    }


def installed_version() -> str:
    """This package's version."""
    try:
        return version("maefuse-hf")
    except PackageNotFoundError:
        return "not installed"


def read_files(datasets: Sequence[Dataset], folders: Sequence[FolderSystem]) -> list[Path]:
    """Every image that an evaluation reads."""
    sources = [path for dataset in datasets for pair in dataset.pairs for path in (pair.infrared, pair.visible)]
    by_name = [images for folder in folders for images in folder.images.values()]
    return sources + [path for images in by_name for paths in images.values() for path in paths]


def write_results(
    folder: Path,
    rows: Sequence[Row],
    about: dict[str, Any],
    problems: Sequence[str],
    datasets: Sequence[Dataset],
    systems: Sequence[System],
) -> None:
    """Write and print what an evaluation found."""
    summaries = summarise(rows)
    examples = [example for dataset in datasets for example in examples_of(dataset, rows, systems)]
    write_text(folder / "metrics.csv", as_csv(rows_table(rows)))
    write_text(folder / "metrics.md", markdown(summaries, about, problems))
    write_text(folder / "metrics.json", as_json(summaries, about, problems))
    page = report(rows, summaries, about, problems, examples)
    write_text(folder / "report.html", page)
    for dataset, of_dataset in summaries.items():
        print(f"\n{dataset}\n{as_text(metrics_table(of_dataset))}")
    print(f"\n* best of its column, the sources alone apart. Intervals: {folder / 'metrics.md'}. Report: ", end="")
    print(folder / "report.html")


def examples_of(dataset: Dataset, rows: Sequence[Row], systems: Sequence[System]) -> list[Example]:
    """The best, median and worst pair of the first system that was measured on this data set."""
    measured = {(row.system, row.pair) for row in rows if row.dataset == dataset.name}
    ranking = next((system.name for system in systems if system.name in {name for name, _ in measured}), None)
    if ranking is None:
        return []
    pairs = {pair.name: pair for pair in dataset.pairs}
    examples = []
    for name, label in worth_a_look(ranked_pairs(rows, dataset.name, ranking)).items():
        shown = [system for system in systems if (system.name, name) in measured]
        images = images_of(dataset.name, pairs[name], shown)
        patch = differing_patch(list(images.values()))
        examples.append(Example(dataset.name, name, label, ranking, with_patch(images, patch)))
    return examples
