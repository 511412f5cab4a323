"""What each part of the model gives: undamaged and damaged pairs with one part after the other taken away.

    python benchmarks/parts.py --pairs data/pairs/train --names splits/validation.txt -o runs/parts

Nothing is trained here: a part is left out of the model as it is. VIF and Qabf are taken against the undamaged
sources. Writes parts.md, parts.json and parts.png.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.named_pairs import named_pairs
from maefuse_hf import MaeFuseModel
from maefuse_hf.colour import luminance_8_bit
from maefuse_hf.evaluation.damage import DAMAGES, Pair, damaged
from maefuse_hf.evaluation.rule import rule
from maefuse_hf.guide import replace_detail
from maefuse_hf.image_files import open_image
from maefuse_hf.inference import load_checkpoint
from maefuse_hf.metrics import edge_preservation, visual_information_fidelity

METRICS = ("VIF", "Qabf")
UNDAMAGED = "undamaged"

Fusion = Callable[[MaeFuseModel, Tensor, Tensor], Tensor]
"""`(model, infrared, visible) -> fused`, `(1, 1, H, W)` luminance in [0, 1]."""


@contextmanager
def changed(model: MaeFuseModel, **fields: Any) -> Iterator[MaeFuseModel]:
    """The model with other numbers in its configuration."""
    before = {name: getattr(model.config, name) for name in fields}
    for name, value in fields.items():
        setattr(model.config, name, value)
    yield model
    for name, value in before.items():
        setattr(model.config, name, value)


def fused_with(**arguments: Any) -> Fusion:
    """`forward` with these arguments."""
    return lambda model, infrared, visible: model(infrared, visible, **arguments).fused


def without_refinement(model: MaeFuseModel, infrared: Tensor, visible: Tensor) -> Tensor:
    return model(infrared, visible).decoded


def without_trust(model: MaeFuseModel, infrared: Tensor, visible: Tensor) -> Tensor:
    numbers = (model.config.source_detail_sigma, model.config.detail_sharpness, model.config.detail_floor)
    return replace_detail(model(infrared, visible).decoded, infrared, visible, *numbers)


def without_activity(model: MaeFuseModel, infrared: Tensor, visible: Tensor) -> Tensor:
    with changed(model, detail_sharpness=0.0):
        return model(infrared, visible).fused


def without_coarse_structure(model: MaeFuseModel, infrared: Tensor, visible: Tensor) -> Tensor:
    with changed(model, coarse_factor=None):
        return model(infrared, visible).fused


PARTS: dict[str, Fusion] = {
    "the model": fused_with(),
    "without refinement: decoded alone": without_refinement,
    "refined by activity, without trust": without_trust,
    "refined by trust, without activity": without_activity,
    "without coarse structure of the whole image": without_coarse_structure,
    "without the merging module": fused_with(fusion="cfm"),
    "visible features in place of the comparative module": fused_with(contour="visible"),
    "infrared features in place of the comparative module": fused_with(contour="infrared"),
    "without both modules: mean features": fused_with(fusion="mean"),
    "the rule": lambda model, infrared, visible: rule(infrared, visible),
    "the average": lambda model, infrared, visible: (infrared + visible) / 2,
}


def as_tensor(image: np.ndarray) -> Tensor:
    """`(H, W)` uint8 to `(1, 1, H, W)` in [0, 1]."""
    return torch.from_numpy(image.copy())[None, None].float() / 255


def middle(path: Path, height: int, width: int) -> np.ndarray:
    """Luminance of the middle `height` by `width` pixels, uint8."""
    with path.open("rb") as file:
        image = open_image(file, path.name)
        left, top = (image.width - width) // 2, (image.height - height) // 2
        return luminance_8_bit(image.crop((left, top, left + width, top + height)))


@torch.inference_mode()
def measure(
    model: MaeFuseModel, pairs: Sequence[Pair], kinds: Sequence[str], strength: int
) -> dict[str, dict[str, list[float]]]:
    """Means over pairs of `METRICS`, by part and by `UNDAMAGED` or the kind of damage."""
    values: dict[str, dict[str, list[list[float]]]] = {part: {} for part in PARTS}
    cases = [(kind, number) for kind in (UNDAMAGED, *kinds) for number in range(len(pairs))]
    for kind, number in tqdm(cases, unit="pair", desc="parts"):
        pair = pairs[number]
        seen = pair if kind == UNDAMAGED else damaged(pair, kind, strength, number)
        sources = [torch.from_numpy(image.copy())[None, None] for image in pair]
        for part, fuse in PARTS.items():
            fused = fuse(model, *map(as_tensor, seen)).clamp(0, 1).mul(255).round().byte()
            metrics = [float(metric(fused, *sources)) for metric in (visual_information_fidelity, edge_preservation)]
            values[part].setdefault(kind, []).append(metrics)
    return {
        part: {kind: np.mean(rows, axis=0).tolist() for kind, rows in by_kind.items()}
        for part, by_kind in values.items()
    }


def share_kept(by_kind: dict[str, list[float]], kind: str) -> float:
    """Mean over the metrics of damaged over undamaged."""
    return float(np.mean(np.divide(by_kind[kind], by_kind[UNDAMAGED])))


def as_markdown(means: dict[str, dict[str, list[float]]], kinds: Sequence[str]) -> str:
    header = ["", *(f"{metric}, undamaged" for metric in METRICS), *(f"{metric}, damaged" for metric in METRICS)]
    lines = ["| " + " | ".join([*header, "share kept"]) + " |", "|---" * (len(header) + 1) + "|"]
    for part, by_kind in means.items():
        of_damaged = np.mean([by_kind[kind] for kind in kinds], axis=0)
        share = np.mean([share_kept(by_kind, kind) for kind in kinds])
        numbers = [*by_kind[UNDAMAGED], *of_damaged, share]
        lines.append(f"| {part} | " + " | ".join(f"{number:.3f}" for number in numbers) + " |")
    return "\n".join(lines)


def plot(means: dict[str, dict[str, list[float]]], kinds: Sequence[str], path: Path) -> None:
    """The share kept of each part under each kind."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(10, 4.5), layout="constrained")
    shares = np.array([[share_kept(by_kind, kind) for kind in kinds] for by_kind in means.values()])
    shown = axes.imshow(shares, aspect="auto", cmap="viridis")
    axes.set_xticks(range(len(kinds)), kinds, rotation=60, ha="right")
    axes.set_yticks(range(len(means)), list(means))
    figure.colorbar(shown, label="share of VIF and Qabf kept")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what each part of the model gives.")
    parser.add_argument("--pairs", type=Path, required=True, help="folder of registered pairs")
    parser.add_argument("--names", type=Path, help="file with the name of a pair a line; default: all pairs")
    parser.add_argument("--every", type=int, default=6, help="every so many-th of them")
    parser.add_argument("--size", default="320x256", help="width x height of the middle that is taken")
    parser.add_argument("--damage", nargs="+", default=list(DAMAGES), choices=list(DAMAGES), metavar="KIND")
    parser.add_argument("--strength", type=int, default=2, choices=(1, 2, 3))
    parser.add_argument("--model", help="folder or Hub name; default: the checkpoint that ships")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT")
    options = parser.parse_args()

    width, height = map(int, options.size.split("x"))
    chosen = named_pairs(options.pairs, options.names)[:: options.every]
    pairs = [Pair(middle(pair.infrared, height, width), middle(pair.visible, height, width)) for pair in chosen]

    model, _ = load_checkpoint(options.model)
    means = measure(model, pairs, options.damage, options.strength)
    options.output.mkdir(parents=True, exist_ok=True)
    about = (
        f"{len(pairs)} pairs of {width}x{height}, {len(options.damage)} kinds of damage, strength {options.strength}"
    )
    table = f"{about}\n\n{as_markdown(means, options.damage)}\n"
    (options.output / "parts.md").write_text(table, encoding="utf-8")
    (options.output / "parts.json").write_text(json.dumps({"about": about, "means": means}, indent=1) + "\n")
    plot(means, options.damage, options.output / "parts.png")
    print(table)


if __name__ == "__main__":
    main()
