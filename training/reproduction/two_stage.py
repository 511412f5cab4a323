"""Fig. 6 and 8: alignment before the fusion loss, against the fusion loss alone."""

import math
from functools import partial
from pathlib import Path

from PIL import Image

from maefuse_hf.evaluation.table import Cell, table_of
from training.reproduction.experiment import Experiment, Figure, Section
from training.reproduction.logs import Log, Logs, late_change, read_log, samples
from training.reproduction.measure import decoded, terms_of, validation_crops
from training.reproduction.plots import image_rows, plot_curves
from training.reproduction.runs import Run, finished_record
from training.reproduction.seeds import OverSeeds, over_seeds
from training.reproduction.study import Study

TERMS = {"gradient": "decoded_gradient", "L1 (intensity)": "decoded_intensity", "block effect": "block_effect"}
"""What is compared, by its name in the log."""

IMAGES_OF_A_HALF = 3
"""As in the paper's Fig. 6."""


def two_stage_run(study: Study, seed: int, attention: str = "global") -> Run:
    """The comparative module by half alignment, half fusion loss."""
    half = study.setting.half
    stages = {"cfm_align": {"steps": half}, "cfm_fuse": {"steps": half}}
    return Run(run_name("two_stage", seed, attention), study.training(seed, stages, **study.fresh_fusion(attention)))


def direct_run(study: Study, seed: int, attention: str = "global") -> Run:
    """The comparative module by the fusion loss alone, as many steps in all."""
    stages = {"cfm_fuse": {"steps": study.setting.whole}}
    return Run(run_name("direct", seed, attention), study.training(seed, stages, **study.fresh_fusion(attention)))


def run_name(way: str, seed: int, attention: str) -> str:
    """The paper's attention goes without saying."""
    return f"{way}_{seed}" if attention == "global" else f"{way}_{attention}_{seed}"


def runs(study: Study, attention: str = "global") -> list[Run]:
    """Both ways with each seed."""
    return [run(study, seed, attention) for seed in study.setting.seeds for run in (two_stage_run, direct_run)]


def section(study: Study) -> Section:
    """The paper's two figures."""
    return compare(study, "global", "fig8", "fig6")


def local_section(study: Study) -> Section:
    """The same with local attention."""
    return compare(study, "local", "fig8_local", "fig6_local")


def compare(study: Study, attention: str, curves_name: str, images_name: str) -> Section:
    """Curves, end values with the intervals of their differences, and images of the first seed."""
    done = seeds_done(study, attention)
    logs = {
        way: [read_log(study.run_folder(run_name(name, seed, attention))) for seed in done]
        for way, name in (("two-stage", "two_stage"), ("direct", "direct"))
    }
    differences = {title: difference_at_end(logs, term) for title, term in TERMS.items()}
    rows: list[list[Cell | str]] = [
        [
            Cell(title),
            *(str(over_seeds([log.last(term) for log in own])) for own in logs.values()),
            Cell(str(differences[title]), best=differences[title].real),
        ]
        for title, term in TERMS.items()
    ]
    setting = study.setting
    panels = {
        f"{title}, validation pairs": {way: [log.validation(term) for log in own] for way, own in logs.items()}
        for title, term in TERMS.items()
    }
    curves = plot_curves(panels, setting.steps_per_epoch, setting.epochs / 2)
    first = done[0]
    two_stage_end = study.run_folder(run_name("two_stage", first, attention)) / "final"
    shown = {
        "two-stage": of_each_half(study, run_name("two_stage", first, attention)),
        "direct": of_each_half(study, run_name("direct", first, attention)),
    }
    return Section(
        finding=" ".join(verdict(title, differences[title]) for title in ("gradient", "L1 (intensity)")),
        figures=[
            Figure(
                curves_name,
                curves,
                f"Two-stage ({setting.epochs // 2} epochs of alignment, then as many of Eq. 4) against direct training "
                f"({setting.epochs} epochs of Eq. 4), comparative module, {attention} attention; thin: "
                f"{len(done)} seed{'s' if len(done) > 1 else ''}, thick: their mean.",
            ),
            Figure(images_name, image_rows(shown), f"A rendered pair on the way, seed {first}."),
        ],
        tables=[
            (
                f"At the end, {setting.validation_pairs} validation crops, {len(done)} seed(s); in brackets 95 % of "
                "Student's t over the seeds. Bold: a difference whose interval leaves out zero.",
                table_of(["", "two-stage", "direct", "two-stage − direct"], rows),
            )
        ],
        remarks=[flatness(logs), where_alignment_ended(study, logs["two-stage"], two_stage_end)],
    )


def difference_at_end(logs: Logs, term: str) -> OverSeeds:
    """Two-stage minus direct training over the seeds; the logs come in this order."""
    two_stage, direct = logs.values()
    return over_seeds([two.last(term) - one.last(term) for two, one in zip(two_stage, direct)])


def seeds_done(study: Study, attention: str) -> list[int]:
    """The seeds of which both runs are there."""
    folders = {
        seed: [study.run_folder(run_name(way, seed, attention)) for way in ("two_stage", "direct")]
        for seed in study.setting.seeds
    }
    return [seed for seed, both in folders.items() if all(finished_record(folder) is not None for folder in both)]


def some_seed_is_done(study: Study, attention: str = "global") -> bool:
    """Whether there is anything to compare."""
    return bool(seeds_done(study, attention))


def verdict(title: str, difference: OverSeeds) -> str:
    """What the paper says of a loss, held against the difference over seeds."""
    if math.isnan(difference.low):
        says = f"two-stage training ends {'lower' if difference.mean < 0 else 'higher'}, one seed"
    elif difference.real:
        says = "as in the paper, two-stage training ends lower" if difference.mean < 0 else "direct training ends lower"
    else:
        says = "no difference that holds over the seeds"
    return f"{title[0].upper()}{title[1:]}: {says} ({difference})."


def flatness(logs: Logs) -> str:
    """How far the losses still fell in the last fifth of the training."""
    changes = {
        f"{way} {term}": over_seeds([late_change(log.validation(f"decoded_{term}")) for log in own]).mean
        for way, own in logs.items()
        for term in ("gradient", "intensity")
    }
    falls = ", ".join(f"{name} {100 * change:.1f} %" for name, change in changes.items())
    return f"How far the losses still fell over the last fifth of the epochs: {falls}."


def where_alignment_ended(study: Study, logs: list[Log], folder: Path) -> str:
    """How near to its target the alignment stage came, beside what the decoder makes of the target itself."""
    step, crops = study.setting.half, validation_crops(study)
    reached = {
        term: over_seeds([dict(log.validation(term))[step] for log in logs]).mean
        for term in ("alignment", "decoded_gradient", "block_effect")
    }
    target = terms_of(decoded(folder, crops, "mean"), crops, study.patch_size)
    return (
        f"Alignment ended after {step} steps with Eq. 5 at {reached['alignment']:.4f} on the validation pairs, "
        f"gradient loss {reached['decoded_gradient']:.4f} and block effect {reached['block_effect']:.2f}. Its target, "
        f"the mean feature, decodes with {target['gradient']:.4f} and {target['block effect']:.2f}. The farther from "
        "that, the less the second stage starts where the paper's does. What else may hide an effect here: the small "
        "encoder and decoder, and the small crops."
    )


def of_each_half(study: Study, name: str) -> dict[str, Image.Image]:
    """Fused images of a run, as many of its first half as of its second."""
    setting = study.setting
    seen = samples(study.run_folder(name))
    halves = (
        [look for look in seen if look[0] <= setting.half],
        [look for look in seen if look[0] > setting.half],
    )
    chosen = [look for half in halves for look in spread(half, IMAGES_OF_A_HALF)]
    return {
        f"epoch {step // setting.steps_per_epoch}, {'Eq. 5' if stage.endswith('align') else 'Eq. 4'}": image
        for step, stage, image in chosen
    }


def spread(looks: list[tuple[int, str, Image.Image]], count: int) -> list[tuple[int, str, Image.Image]]:
    """`count` of the looks, the first and the last among them."""
    if len(looks) <= count:
        return looks
    return [looks[round(k * (len(looks) - 1) / (count - 1))] for k in range(count)]


EXPERIMENT = Experiment(
    "fig8",
    "Two-stage training (Fig. 6 and 8)",
    "After 25 + 25 iterations gradient and L1 loss end lower, and still fall, than after 50 of direct training, which "
    "stays in a local optimum and shows blocks.",
    runs,
    section,
    works_with_some=some_seed_is_done,
)
LOCAL = Experiment(
    "local",
    "The same with local attention, as in the shipped model",
    "Not in the paper: whether the effect is one of global attention.",
    partial(runs, attention="local"),
    local_section,
    works_with_some=partial(some_seed_is_done, attention="local"),
)
