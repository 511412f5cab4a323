"""Eq. 4 against the loss of the authors' code: gradient 1, Laplacian 2, no intensity."""

from maefuse_hf.evaluation.table import Cell, table_of
from training.config_file import read_yaml
from training.reproduction.experiment import Experiment, Figure, Section
from training.reproduction.measure import decoded, grey, shown_pair, terms_of, validation_crops
from training.reproduction.plots import image_rows
from training.reproduction.runs import Run
from training.reproduction.study import CONFIGS, Study
from training.reproduction.two_stage import two_stage_run

NAME = "authors_loss"


def authors_run(study: Study) -> Run:
    """The fusion stage of two-stage training once more, from the same alignment."""
    seed = study.setting.seeds[0]
    weights = read_yaml(CONFIGS / "ablations" / "authors_loss.yaml")["loss_weights"]
    aligned = study.stage_folder(two_stage_run(study, seed).name, "cfm_align")
    stages = {"cfm_fuse": {"steps": study.setting.half}}
    config = study.training(seed, stages, start={"model": str(aligned)}, loss_weights=weights)
    return Run(NAME, config)


def runs(study: Study) -> list[Run]:
    """Both losses."""
    return [two_stage_run(study, study.setting.seeds[0]), authors_run(study)]


def section(study: Study) -> Section:
    """All terms of both after training with each, and an image."""
    of_paper, of_authors = (study.run_folder(run.name) / "final" for run in runs(study))
    ways = {"Eq. 4": of_paper, "authors' code": of_authors}
    crops, shown = validation_crops(study), shown_pair(study)
    images = {name: decoded(folder, crops, "cfm") for name, folder in ways.items()}
    measured = {name: terms_of(image, crops, study.patch_size) for name, image in images.items()}
    brightness = {name: image.mean().item() for name, image in images.items()}
    columns = ("intensity", "gradient", "laplacian", "block effect")
    rows: list[list[Cell | str]] = [
        [Cell(name), *(f"{values[column]:.4f}" for column in columns), f"{brightness[name]:.3f}"]
        for name, values in measured.items()
    ]
    theirs, ours = measured["authors' code"], measured["Eq. 4"]
    return Section(
        finding=(
            f"The authors' loss ends at {theirs['laplacian']:.4f} of the Laplacian term where Eq. 4 leaves "
            f"{ours['laplacian']:.4f}, at {theirs['gradient']:.4f} to {ours['gradient']:.4f} of the gradient, and at "
            f"{theirs['intensity']:.4f} to {ours['intensity']:.4f} of the intensity term. "
            "One seed."
        ),
        figures=[
            Figure(
                "authors_loss",
                image_rows(
                    {"": {name: grey(decoded(folder, shown, "cfm")) for name, folder in ways.items()}}, side=2.6
                ),
                "A rendered pair.",
            )
        ],
        tables=[
            (
                "Validation crops, the same alignment before both; gradients in the units of Eq. 4.",
                table_of(["trained with", *columns, "mean brightness"], rows),
            )
        ],
    )


EXPERIMENT = Experiment(
    "loss",
    "Eq. 4 against the loss of the authors' code",
    "The paper gives intensity and gradient (Eq. 4); the published code has gradient 1, Laplacian 2 and no intensity.",
    runs,
    section,
)
