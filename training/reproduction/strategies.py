"""Fig. 1: mean fusion, cross-attention without and with alignment, and the whole MaeFuse."""

from pathlib import Path

from maefuse_hf.evaluation.table import Cell, table_of
from maefuse_hf.strategies import FusionStrategy
from training.reproduction.experiment import Experiment, Figure, Section
from training.reproduction.hierarchical import locked_run
from training.reproduction.measure import decoded, grey, shown_pair, terms_of, validation_crops
from training.reproduction.plots import image_rows
from training.reproduction.runs import Run
from training.reproduction.study import Study
from training.reproduction.two_stage import direct_run, two_stage_run

COLUMNS = ("block effect", "gradient", "intensity")


def runs(study: Study) -> list[Run]:
    """The runs of the figure's last three images; the first one needs none of its own."""
    seed = study.setting.seeds[0]
    return [two_stage_run(study, seed), direct_run(study, seed), locked_run(study)]


def section(study: Study) -> Section:
    """The four images, and their block effect in numbers beside the sources'."""
    aligned, direct, whole = (study.run_folder(run.name) / "final" for run in runs(study))
    ways: dict[str, tuple[Path, FusionStrategy]] = {
        "(a) mean": (aligned, "mean"),
        "(b) cross-attention, no alignment": (direct, "cfm"),
        "(c) cross-attention, aligned": (aligned, "cfm"),
        "(d) MaeFuse": (whole, "mfm"),
    }
    crops, shown = validation_crops(study), shown_pair(study)
    patch_size = study.patch_size
    measured = {
        name: terms_of(decoded(folder, crops, fusion), crops, patch_size) for name, (folder, fusion) in ways.items()
    }
    sources = {name: terms_of(image, crops, patch_size) for name, image in zip(("infrared", "visible"), crops)}
    images = {"infrared": grey(shown[0]), "visible": grey(shown[1])}
    images |= {name: grey(decoded(folder, shown, fusion)) for name, (folder, fusion) in ways.items()}
    rows: list[list[Cell | str]] = [
        [Cell(name), *(f"{values[column]:.{3 if column == 'block effect' else 4}f}" for column in COLUMNS)]
        for name, values in {**measured, **sources}.items()
    ]
    without, aligned_, full = (measured[name]["block effect"] for name in list(ways)[1:])
    fewer = "fewer" if full < without else "no fewer"
    return Section(
        finding=(
            f"Block effect {without:.2f} without alignment, {aligned_:.2f} with it, {full:.2f} for the whole MaeFuse, "
            f"{measured['(a) mean']['block effect']:.2f} for the mean (1 is none): MaeFuse shows {fewer} blocks than "
            "cross-attention without alignment. One seed."
        ),
        figures=[Figure("fig1", image_rows({"": images}), "A rendered pair, grey as in the paper.")],
        tables=[
            (
                "Validation crops. Block effect: mean step between neighbouring pixels across token borders over the "
                "mean step elsewhere.",
                table_of(["", *COLUMNS], rows),
            )
        ],
    )


EXPERIMENT = Experiment(
    "fig1",
    "Fusion strategies (Fig. 1)",
    "Cross-attention without alignment shows blocks and inharmonious regions; alignment mends them, MaeFuse more so.",
    runs,
    section,
)
