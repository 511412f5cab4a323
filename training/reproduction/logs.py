"""What a run logged: its curves over the steps, and the images it saved on the way."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

Curve = list[tuple[int, float]]
"""Steps of the run and values, in their order."""


@dataclass(frozen=True)
class Log:
    """The scalars of a run by tag, `STAGE/NAME`."""

    scalars: dict[str, Curve]

    def validation(self, term: str) -> Curve:
        """A term on the validation pairs at each look, through all stages."""
        found = [curve for tag, curve in self.scalars.items() if tag.split("/")[1] == f"validation_{term}"]
        return sorted(point for curve in found for point in curve)

    def last(self, term: str) -> float:
        """A term on the validation pairs at the end of the run."""
        return self.validation(term)[-1][1]


Logs = dict[str, list[Log]]
"""Of all seeds, by the way of training."""


def read_log(folder: Path) -> Log:
    """The log of the run in a folder."""
    events = EventAccumulator(str(folder / "log"), size_guidance={"scalars": 0})
    events.Reload()
    return Log({tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]})


def samples(folder: Path, number: int = 0) -> list[tuple[int, str, Image.Image]]:
    """Step, stage and fused image of each look of a run at one of the shown pairs."""
    found = []
    for path in sorted((folder / "samples").glob(f"*_{number}.png")):
        step, stage = path.stem.removesuffix(f"_{number}").split("_", 1)
        row = Image.open(path, formats=["PNG"])
        # infrared, visible and fused stand side by side, as squares
        found.append((int(step), stage, row.crop((row.width - row.height, 0, row.width, row.height))))
    return found


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """The mean of curves with the same steps."""
    steps = [step for step, _ in curves[0]]
    values = np.mean([[value for _, value in curve] for curve in curves], axis=0)
    return list(zip(steps, values.tolist()))


def late_change(curve: Curve) -> float:
    """By which share a curve still fell from the look nearest to four fifths of its steps to its end."""
    end = curve[-1][0]
    before = min(curve, key=lambda point: abs(point[0] - 0.8 * end))[1]
    return 1 - curve[-1][1] / before
