# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Damaged pairs and systems in; what each system keeps of its own quality out."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from ..image_files import write_image
from ..inference.pairs import PairPaths, evenly_spread
from ..metrics import edge_preservation, visual_information_fidelity
from ..metrics.matched import matched_visual_information_fidelity
from .damage import STRENGTHS, Pair, damaged
from .processes import Processes
from .runner import (
    BASELINE_SYSTEMS,
    Dataset,
    FolderSystem,
    LiveSystem,
    as_tensor,
    read_sources,
    require_size,
)
from .table import Table, table_of

PAIRS_OF_A_DATASET = 5
UNDAMAGED = "undamaged"
SHARED_METRICS = ("VIF", "Qabf")
"""Of which the share kept is the mean."""

SHARE = "share kept"


@dataclass(frozen=True)
class DamageRow:
    """The values of one system on one damaged pair against the undamaged sources; kind `UNDAMAGED` has strength 0."""

    dataset: str
    pair: str
    system: str
    kind: str
    strength: int
    values: dict[str, float]


DamageSystem = LiveSystem | FolderSystem


def damage_name(kind: str, strength: int) -> str:
    """The folder of a damage, in which another method's images of the damaged pairs lie."""
    return f"{kind}-{strength}"


def measurable(systems: Sequence[object], datasets: Sequence[Dataset]) -> tuple[list[DamageSystem], list[str]]:
    """The systems that can be measured on damaged pairs, and a sentence for each that cannot.

    A folder system needs its images of the damaged pairs, in `DIR/KIND-STRENGTH/`.
    """
    able: list[DamageSystem] = []
    problems = []
    for system in systems:
        if isinstance(system, LiveSystem):
            able.append(system)
        elif isinstance(system, FolderSystem):
            folders = [system.folders[dataset.name] for dataset in datasets]
            if all(any(folder.glob("*-[123]/")) for folder in folders):
                able.append(system)
            else:
                problems.append(
                    f"{system.name} is not measured on damaged pairs: its images of them must lie in "
                    f"{folders[0]}/KIND-STRENGTH/. --keep-damaged writes the pairs to fuse."
                )
    return [*able, *BASELINE_SYSTEMS], problems


def measure_damage(
    dataset: str,
    pair: PairPaths,
    systems: Sequence[DamageSystem],
    kinds: Sequence[str],
    device: torch.device,
    keep: Path | None = None,
) -> tuple[list[DamageRow], list[str]]:
    """Rows of all systems on a pair, undamaged and with each damage; a sentence for each that failed."""
    try:
        sources = read_sources(pair)
    except (OSError, ValueError) as error:
        return [], [f"{dataset}/{pair.name}: {error}"]
    truth = [as_tensor(image, device) for image in sources.values()]
    rows, problems = [], []
    for kind, strength, images in damaged_images(dataset, pair.name, sources, kinds):
        if keep is not None and kind != UNDAMAGED:
            for modality, image in zip(sources, images):
                path = keep / dataset / damage_name(kind, strength) / modality / f"{pair.name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_image(image, path)
        for system in systems:
            try:
                fused = fuse_damaged(system, dataset, pair, kind, strength, images)
                require_size(fused, "the fused image", images[1].size, "the pair")
                values = damage_metrics(as_tensor(fused, device), *truth)
            except (OSError, ValueError) as error:
                problems.append(f"{dataset}/{pair.name}, {kind} {strength}, {system.name}: {error}")
                continue
            rows.append(DamageRow(dataset, pair.name, system.name, kind, strength, values))
    return rows, problems


def damaged_images(
    dataset: str, name: str, sources: dict[str, Image.Image], kinds: Sequence[str]
) -> Iterator[tuple[str, int, tuple[Image.Image, Image.Image]]]:
    """Kind, strength, and infrared and visible: the pair as it is, then each damage of it, seeded by its name."""
    infrared = as_tensor(sources["infrared"], torch.device("cpu"))[0, 0].numpy()
    pair = Pair(infrared, np.asarray(sources["visible"]))
    yield UNDAMAGED, 0, (Image.fromarray(infrared), sources["visible"])
    for kind in kinds:
        for strength in STRENGTHS:
            hit = damaged(pair, kind, strength, seed=crc32(f"{dataset}/{name}".encode()))
            yield kind, strength, (Image.fromarray(hit.infrared), Image.fromarray(hit.visible))


def fuse_damaged(
    system: DamageSystem,
    dataset: str,
    pair: PairPaths,
    kind: str,
    strength: int,
    images: tuple[Image.Image, Image.Image],
) -> Image.Image:
    """A system's image of a damaged pair."""
    if isinstance(system, FolderSystem):
        if kind == UNDAMAGED:
            return system.fuse(dataset, pair).measured
        folder = system.folders[dataset] / damage_name(kind, strength)
        return FolderSystem(system.name, {dataset: folder}).fuse(dataset, pair).measured
    return system.fuse_images(*images)


def damage_metrics(fused: Tensor, infrared: Tensor, visible: Tensor) -> dict[str, float]:
    """VIF, Qabf and matched VIF of `(1, 1, H, W)` uint8; NaN where there is no value."""
    trio = (fused, infrared, visible)
    return {
        "VIF": visual_information_fidelity(*trio, allow_undefined=True).item(),
        "Qabf": edge_preservation(*trio, allow_undefined=True).item(),
        "VIF matched": matched_visual_information_fidelity(*trio, allow_undefined=True).item(),
    }


def evaluate_damage(
    datasets: Sequence[Dataset],
    systems: Sequence[DamageSystem],
    kinds: Sequence[str],
    processes: Processes,
    device: torch.device,
    pairs_of_a_dataset: int = PAIRS_OF_A_DATASET,
    keep: Path | None = None,
) -> tuple[list[DamageRow], list[str]]:
    """Measure some pairs of each data set, each pair by one of the processes.

    Args:
        datasets: see `read_datasets`.
        systems: of `measurable`.
        kinds: names in `DAMAGES`.
        device: where metrics are computed.
        pairs_of_a_dataset: how many, spread evenly.
        keep: folder that gets the damaged pairs, `DATASET/KIND-STRENGTH/infrared|visible/NAME.png`.

    Returns:
        in each process the same rows, and a sentence for each problem.
    """
    tasks = [(dataset.name, pair) for dataset in datasets for pair in evenly_spread(dataset.pairs, pairs_of_a_dataset)]
    done = []
    for number in tqdm(processes.share(range(len(tasks))), unit="pair", desc="damage", disable=not processes.is_main):
        dataset, pair = tasks[number]
        done.append((number, *measure_damage(dataset, pair, systems, kinds, device, keep)))
    results = sorted(processes.gather(done), key=lambda result: result[0])
    return [row for _, rows, _ in results for row in rows], [text for *_, problems in results for text in problems]


def shares_kept(rows: Sequence[DamageRow]) -> list[DamageRow]:
    """Rows of the damaged pairs with each metric as a share of the same system's on the undamaged pair, and under
    `SHARE` the mean of those of `SHARED_METRICS`.

    NaN where the undamaged value is not positive or there is none.
    """
    whole = {(row.dataset, row.pair, row.system): row.values for row in rows if row.kind == UNDAMAGED}
    kept = []
    for row in rows:
        undamaged = whole.get((row.dataset, row.pair, row.system), {})
        if row.kind == UNDAMAGED:
            continue
        shares = {metric: share(value, undamaged.get(metric, math.nan)) for metric, value in row.values.items()}
        shares[SHARE] = float(np.mean([shares[metric] for metric in SHARED_METRICS]))
        kept.append(replace(row, values=shares))
    return kept


def share(part: float, whole: float) -> float:
    """Part over whole; NaN where the whole is not positive."""
    return part / whole if whole > 0 else math.nan


def damage_table(rows: Sequence[DamageRow]) -> Table:
    """One line for each data set, pair, system, kind and strength, all digits; a value that does not exist is empty."""
    shares = {row_key(row): row.values[SHARE] for row in shares_kept(rows)}
    metrics = list(rows[0].values)
    lines = []
    for row in rows:
        values = [*row.values.values(), shares.get(row_key(row), math.nan)]
        lines.append([*map(str, row_key(row)), *("" if math.isnan(value) else repr(value) for value in values)])
    return table_of(["dataset", "pair", "system", "kind", "strength", *metrics, SHARE], lines)


def row_key(row: DamageRow) -> tuple[str, str, str, str, int]:
    """What tells a row from every other."""
    return row.dataset, row.pair, row.system, row.kind, row.strength
