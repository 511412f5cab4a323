"""What may hide the effect of Fig. 8: two-stage against direct training with something else in the setting."""

from dataclasses import fields, replace

from maefuse_hf.evaluation.table import Cell, table_of
from training.config_file import build, flat, merged
from training.reproduction.experiment import Experiment, Figure, Section
from training.reproduction.logs import Logs, read_log
from training.reproduction.plots import plot_curves
from training.reproduction.runs import Run
from training.reproduction.seeds import over_seeds
from training.reproduction.setting import Setting
from training.reproduction.study import Study
from training.reproduction.two_stage import TERMS, difference_at_end, direct_run, two_stage_run

WAYS = {"two-stage": two_stage_run, "direct": direct_run}

AS_IT_IS = "the setting as it is"


def varied(study: Study, name: str) -> Study:
    """The study with the fields of one variation in its setting; pairs and folder stay."""
    setting = study.setting
    values = {field.name: getattr(setting, field.name) for field in fields(setting)}
    return replace(study, setting=build(Setting, merged(values, setting.variations[name])))


def runs_of(study: Study) -> dict[str, dict[str, list[Run]]]:
    """By what was varied and by the way of training, a run for each seed; the runs of Fig. 8 come first."""
    named = {AS_IT_IS: both_ways(study)}
    for name in study.setting.variations:
        ways = both_ways(varied(study, name))
        named[title_of(name)] = {
            way: [replace(run, name=f"{name}_{run.name}") for run in own] for way, own in ways.items()
        }
    return named


def title_of(name: str) -> str:
    """What tables call a variation."""
    return name.replace("_", " ")


def both_ways(study: Study) -> dict[str, list[Run]]:
    """By the way of training, a run for each seed of the study."""
    return {way: [run(study, seed) for seed in study.setting.seeds] for way, run in WAYS.items()}


def runs(study: Study) -> list[Run]:
    """Both ways with each seed, as in Fig. 8 and under each variation."""
    return [run for ways in runs_of(study).values() for both in zip(*ways.values()) for run in both]


def section(study: Study) -> Section:
    """The curves of each variation, and what both ways end with."""
    setting = study.setting
    values = {
        title_of(name): ", ".join(f"{field} {value}" for field, value in flat(changes).items())
        for name, changes in setting.variations.items()
    }
    logs: dict[str, Logs] = {
        title: {way: [read_log(study.run_folder(run.name)) for run in own] for way, own in ways.items()}
        for title, ways in runs_of(study).items()
    }
    panels = {
        title: {way: [log.validation(TERMS["gradient"]) for log in own] for way, own in ways.items()}
        for title, ways in logs.items()
    }
    rows: list[list[Cell | str]] = [
        [
            Cell(title, f"({values[title]})" if title in values else ""),
            *(cell for term in TERMS.values() for cell in compared(ways, term)),
        ]
        for title, ways in logs.items()
    ]
    return Section(
        finding=" ".join(
            f"With {title} two-stage training has the lower gradient loss in {lower_in(ways)}."
            for title, ways in logs.items()
        ),
        figures=[
            Figure(
                "variations",
                plot_curves(panels, setting.steps_per_epoch, setting.epochs / 2),
                "Gradient loss on the validation pairs; thin: each seed, thick: their mean.",
            )
        ],
        tables=[
            (
                "At the end, as in the table of Fig. 8; in brackets what is another. Bold: a difference whose interval "
                "leaves out zero.",
                table_of(["", *(f"{term}, {what}" for term in TERMS for what in (*WAYS, "difference"))], rows),
            )
        ],
    )


def ends(ways: Logs, term: str) -> dict[str, list[float]]:
    """A term at the end of each run, by the way of training."""
    return {way: [log.last(term) for log in own] for way, own in ways.items()}


def compared(ways: Logs, term: str) -> list[Cell]:
    """The means over the seeds of both ways, and their difference with its interval."""
    difference = difference_at_end(ways, term)
    means = (Cell(f"{over_seeds(values).mean:.4f}") for values in ends(ways, term).values())
    return [*means, Cell(str(difference), best=difference.real)]


def lower_in(ways: Logs) -> str:
    """In how many of the seeds two-stage training ends with the lower gradient loss."""
    two_stage, direct = ends(ways, TERMS["gradient"]).values()
    lower = sum(two < one for two, one in zip(two_stage, direct))
    return f"{lower} of {len(direct)} seeds"


EXPERIMENT = Experiment(
    "vary",
    "Fig. 8 in another setting",
    "Not in the paper: what may hide the effect here.",
    runs,
    section,
)
