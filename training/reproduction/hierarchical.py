"""Fig. 9: the comparative module locked while the merging module learns, against unlocked."""

from maefuse_hf.evaluation.table import table_of
from training.reproduction.experiment import Experiment, Figure, Section
from training.reproduction.logs import read_log, samples
from training.reproduction.plots import image_rows, plot_curves
from training.reproduction.runs import Run
from training.reproduction.study import Study
from training.reproduction.two_stage import spread, two_stage_run

LOCKED, UNLOCKED = "merging_locked", "merging_unlocked"
IMAGES = 6
TERMS = {
    "drift of the CFM's output": "contour_alignment",
    "gradient": "decoded_gradient",
    "L1 (intensity)": "decoded_intensity",
    "block effect": "block_effect",
}


def merging_run(study: Study, name: str, **plan: object) -> Run:
    """The merging module by two stages, on the comparative module that two-stage training made."""
    seed, half = study.setting.seeds[0], study.setting.half
    stages = {stage: {"steps": half, **plan} for stage in ("mfm_align", "mfm_fuse")}
    start = {"model": str(study.run_folder(two_stage_run(study, seed).name) / "final")}
    return Run(name, study.training(seed, stages, start=start))


def locked_run(study: Study) -> Run:
    """As in the paper: the last two stages of the whole guided training."""
    return merging_run(study, LOCKED)


def unlocked_run(study: Study) -> Run:
    """Both modules change."""
    return merging_run(study, UNLOCKED, trains=["comparative_fusion", "merging_fusion"])


def runs(study: Study) -> list[Run]:
    """What the comparative module comes from, and both ways."""
    return [two_stage_run(study, study.setting.seeds[0]), locked_run(study), unlocked_run(study)]


def section(study: Study) -> Section:
    """Curves of the drift and of the losses, and images on the way."""
    setting = study.setting
    logs = {name: read_log(study.run_folder(run)) for name, run in (("locked", LOCKED), ("unlocked", UNLOCKED))}
    panels = {
        title: {name: [log.validation(TERMS[title])] for name, log in logs.items()}
        for title in ("drift of the CFM's output", "gradient", "L1 (intensity)")
    }
    rows = [[title, *(f"{log.last(term):.4f}" for log in logs.values())] for title, term in TERMS.items()]
    shown = {
        name: {
            f"epoch {step // setting.steps_per_epoch}": image
            for step, _, image in spread(samples(study.run_folder(run)), IMAGES)
        }
        for name, run in (("unlocked", UNLOCKED), ("locked", LOCKED))
    }
    drifts = {name: log.last("contour_alignment") for name, log in logs.items()}
    gradients = {name: log.last("decoded_gradient") for name, log in logs.items()}
    keeps = "keeps nearer to" if drifts["locked"] < drifts["unlocked"] else "is farther from"
    ends = "lower" if gradients["locked"] < gradients["unlocked"] else "higher"
    return Section(
        finding=(
            f"The locked module's output {keeps} the mean feature ({drifts['locked']:.4f} to "
            f"{drifts['unlocked']:.4f}, mean square); the gradient loss ends {ends} with the lock "
            f"({gradients['locked']:.4f} to {gradients['unlocked']:.4f}). One seed."
        ),
        figures=[
            Figure(
                "fig9_curves",
                plot_curves(panels, setting.steps_per_epoch, setting.epochs / 2),
                "Merging module: alignment, then Eq. 4. Drift: mean squared distance of the comparative module's "
                "output to the mean of both features (Eq. 5), validation pairs.",
            ),
            Figure("fig9", image_rows(shown), "A rendered pair on the way; upper row unlocked, as in the paper."),
        ],
        tables=[("At the end, validation crops.", table_of(["", *logs], rows))],
    )


EXPERIMENT = Experiment(
    "fig9",
    "Hierarchical training (Fig. 9)",
    "With the comparative module locked the original features are kept; unlocked they are lost, and the image overfits "
    "the loss.",
    runs,
    section,
)
