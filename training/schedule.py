"""The stages of one run: which of them have steps, how they follow each other, and where a stopped run goes on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.checkpoints import Checkpoint
from training.config import StageConfig, TrainingConfig
from training.stages import STAGES, Stage, as_planned


@dataclass(frozen=True)
class PlannedStage:
    """A stage and its place in the run."""

    stage: Stage
    plan: StageConfig
    seed: int
    """Decides which crops it sees."""
    steps_before: int
    """Optimizer steps of the stages before it."""
    folder: Path
    """Where the model lies after it."""


def plan_stages(config: TrainingConfig, output_dir: Path) -> list[PlannedStage]:
    """The stages that have steps, in their order.

    Raises:
        ValueError: if there is none, or the configuration does not fit one.
    """
    stages: list[PlannedStage] = []
    steps_before = 0
    for number, stage in enumerate(STAGES):
        plan = getattr(config.stages, stage.name)
        if plan.steps:
            folder = output_dir / "stages" / stage.name
            stages.append(PlannedStage(as_planned(stage, plan), plan, config.seed + number, steps_before, folder))
            steps_before += plan.steps
    if not stages:
        raise ValueError("No stage has any steps; set stages.NAME.steps in the YAML or on the command line.")
    return stages


def stage_to_resume(stages: Sequence[PlannedStage], checkpoint: Checkpoint | None) -> int:
    """The number of the stage in which a saved state was taken; the first one without a state.

    Raises:
        ValueError: if that stage is not part of the run any more.
    """
    if checkpoint is None:
        return 0
    names = [planned.stage.name for planned in stages]
    stopped_in = str(checkpoint.position["stage"])
    if stopped_in not in names:
        raise ValueError(
            f"{checkpoint.folder} was saved in stage {stopped_in}, which has no steps now. Give it steps again, or "
            "start in another --output_dir."
        )
    return names.index(stopped_in)
