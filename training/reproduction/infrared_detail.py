"""Fig. 10 and 11: what gamma shows in infrared images, and infrared features in place of the comparative module."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from maefuse_hf.colour import luminance_8_bit
from maefuse_hf.evaluation.damage import Pair, damaged
from maefuse_hf.evaluation.table import Cell, table_of
from maefuse_hf.example_scene import render_example_pair
from maefuse_hf.image_files import load_upright, open_image
from maefuse_hf.inference import find_pairs, fuse_pair, load_checkpoint
from maefuse_hf.metrics.edges import edge_preservation
from maefuse_hf.metrics.information import entropy
from maefuse_hf.metrics.similarity import visual_information_fidelity
from maefuse_hf.metrics.statistics import average_gradient, correlation_coefficient
from maefuse_hf.strategies import CONTOURS, Contour
from training.reproduction.experiment import Experiment, Figure, Section, no_runs
from training.reproduction.plots import image_rows
from training.reproduction.study import Study

GAMMAS = (1.0, 0.7, 0.5, 0.3)
OVER_EXPOSURE = "over-exposure"
STRENGTH = 2
RENDERED_SIZE = (192, 256)
REAL_PAIRS = 4
"""How many real pairs are looked at, spread over the folder."""

HELD_AGAINST: tuple[Contour, ...] = tuple(contour for contour in CONTOURS if contour != "visible")


@dataclass(frozen=True, eq=False)
class Scene:
    """A pair under its name."""

    name: str
    infrared: Image.Image
    visible: Image.Image
    rendered: bool


def whole_image(path: Path) -> Image.Image:
    """All pixels of an image file, upright."""
    with path.open("rb") as file:
        return load_upright(open_image(file, str(path)), str(path))


def scenes(study: Study) -> list[Scene]:
    """A rendered pair, and real ones where a folder of them was given."""
    night_street = render_example_pair(*RENDERED_SIZE, seed=0)
    found = [Scene("rendered", night_street[0], night_street[1], rendered=True)]
    if study.real_pairs is not None:
        pairs, _ = find_pairs(study.real_pairs)
        for pair in pairs[:: max(1, len(pairs) // REAL_PAIRS)][:REAL_PAIRS]:
            infrared, visible = (whole_image(path) for path in (pair.infrared, pair.visible))
            found.append(Scene(pair.name, infrared.convert("L"), visible.convert("RGB"), rendered=False))
    return found


def levels(image: Image.Image) -> torch.Tensor:
    """`(1, 1, H, W)` uint8 luminance."""
    return torch.from_numpy(luminance_8_bit(image).copy())[None, None]


def gamma_corrected(image: Image.Image, gamma: float) -> Image.Image:
    """Grey values as shares of white, raised to a power."""
    return Image.fromarray((255 * (np.asarray(image.convert("L")) / 255) ** gamma).round().astype(np.uint8))


def gamma_section(study: Study) -> Section:
    """The paper's Fig. 10, with entropy and average gradient of each image."""
    seen = {
        scene: {f"gamma {gamma}": gamma_corrected(scene.infrared, gamma) for gamma in GAMMAS} for scene in scenes(study)
    }
    rows: list[list[Cell | str]] = [
        [
            Cell(scene.name),
            *(
                f"{entropy(levels(image)).item():.2f}, {average_gradient(levels(image)).item():.2f}"
                for image in images.values()
            ),
        ]
        for scene, images in seen.items()
    ]
    first, last = (
        np.mean([average_gradient(levels(images[f"gamma {gamma}"])).item() for images in seen.values()])
        for gamma in (GAMMAS[0], GAMMAS[-1])
    )
    entropies = [
        np.mean([entropy(levels(images[f"gamma {gamma}"])).item() for images in seen.values()])
        for gamma in (GAMMAS[0], GAMMAS[-1])
    ]
    return Section(
        finding=(
            f"From gamma {GAMMAS[0]:g} to {GAMMAS[-1]:g} the average gradient goes from {first:.2f} to {last:.2f} and "
            f"entropy from {entropies[0]:.2f} to {entropies[1]:.2f}, {counted(len(seen), 'image')}: what is dark "
            "gets contrast, what is bright loses it, and no information is added."
        ),
        figures=figures(
            "fig10", "Infrared under gamma correction.", {scene: {"": images} for scene, images in seen.items()}
        ),
        tables=[
            ("Entropy in bits, average gradient in grey levels.", table_of(["", *map("gamma {}".format, GAMMAS)], rows))
        ],
    )


def contour_section(study: Study) -> Section:
    """The paper's Fig. 11: fused under each contour, in the light as it is and over-exposed."""
    model, processor = load_checkpoint(study.setting.model)
    shown: dict[Scene, dict[str, dict[str, Image.Image]]] = {}
    values: dict[tuple[str, Contour], list[tuple[float, ...]]] = {}
    for scene in scenes(study):
        pair = Pair(np.asarray(scene.infrared.convert("L")), np.asarray(scene.visible.convert("RGB")))
        lights = {"normal": pair, "over-exposed": damaged(pair, OVER_EXPOSURE, STRENGTH, seed=0)}
        sources = levels(scene.infrared), levels(scene.visible)
        shown[scene] = {}
        for light, lit in lights.items():
            infrared, visible = Image.fromarray(lit.infrared), Image.fromarray(lit.visible)
            shown[scene][light] = {"infrared": infrared, "visible": visible}
            for contour in HELD_AGAINST:
                fused = fuse_pair(model, processor, infrared, visible, contour=contour).image
                shown[scene][light][titles[contour]] = fused
                values.setdefault((light, contour), []).append(measured(levels(fused), *sources))
    names = ("EN", "CC", "VIF", "Qabf")
    means = {key: np.mean(own, axis=0) for key, own in values.items()}
    rows: list[list[Cell | str]] = [
        [Cell(f"{light}, {titles[contour]}"), *(f"{value:.3f}" for value in own)]
        for (light, contour), own in means.items()
    ]
    differences = ", ".join(
        f"{light} {names[-1]} {means[light, 'infrared'][-1] - means[light, 'cfm'][-1]:+.3f} and "
        f"{names[-2]} {means[light, 'infrared'][-2] - means[light, 'cfm'][-2]:+.3f}"
        for light in ("normal", "over-exposed")
    )
    return Section(
        finding=f"Infrared features in place of the CFM change, over {counted(len(shown), 'pair')}: {differences}.",
        figures=figures("fig11", "The shipped model.", shown),
        tables=[
            (
                f"Means over {counted(len(shown), 'pair')}, against the pair before over-exposure.",
                table_of(["", *names], rows),
            )
        ],
        remarks=[
            "The shipped model was trained on damaged pairs, over-exposure among them, with the comparative module "
            "in its place; the paper's was not."
        ],
    )


titles: dict[Contour, str] = {"cfm": "CFM", "infrared": "infrared in its place"}


def measured(fused: torch.Tensor, infrared: torch.Tensor, visible: torch.Tensor) -> tuple[float, ...]:
    """EN, CC, VIF and Qabf."""
    trio = fused, infrared, visible
    return (
        entropy(fused).item(),
        correlation_coefficient(*trio).item(),
        visual_information_fidelity(*trio).item(),
        edge_preservation(*trio).item(),
    )


def counted(number: int, thing: str) -> str:
    """A number of things."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def figures(name: str, caption: str, shown: dict[Scene, dict[str, dict[str, Image.Image]]]) -> list[Figure]:
    """One figure for each scene."""
    return [
        Figure(f"{name}_{number}", image_rows(rows, side=1.9), f"{caption} Pair: {scene.name}.", scene.rendered)
        for number, (scene, rows) in enumerate(shown.items())
    ]


GAMMA = Experiment(
    "fig10",
    "Infrared under gamma correction (Fig. 10)",
    "With falling gamma more and more details are revealed in the infrared image.",
    no_runs,
    gamma_section,
)
CONTOUR = Experiment(
    "fig11",
    "Infrared features in place of the CFM (Fig. 11)",
    "In normal light performance does not decrease, under extreme over-exposure it improves.",
    no_runs,
    contour_section,
)
