"""What an experiment is: the runs it needs, and the section of the report that comes of them."""

from collections.abc import Callable
from dataclasses import dataclass, field

from PIL import Image

from maefuse_hf.evaluation.table import Table
from training.reproduction.runs import Run
from training.reproduction.study import Study


@dataclass(frozen=True)
class Figure:
    """An image of the report."""

    name: str
    """Of its file, without suffix."""
    image: Image.Image
    caption: str
    rendered: bool = True
    """Whether nothing of a data set is seen in it, so that it may stand in the repository."""


@dataclass(frozen=True)
class Section:
    """What came out, for the report."""

    finding: str
    """In a sentence or two, for the summary too."""
    figures: list[Figure] = field(default_factory=list)
    tables: list[tuple[str, Table]] = field(default_factory=list)
    """Captions and tables."""
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Experiment:
    """One row of the report."""

    key: str
    """Its name on the command line."""
    title: str
    paper: str
    """Where it stands in the paper, and what the paper says."""
    runs: Callable[[Study], list[Run]]
    section: Callable[[Study], Section]
    """Called when its runs are there."""
    works_with_some: Callable[[Study], bool] = lambda study: False
    """Whether there is a section already while some of its runs are missing."""
    needs: Callable[[Study], str] = lambda study: ""
    """What it lacks besides runs, in words; nothing where that is there."""


def no_runs(study: Study) -> list[Run]:
    """The runs of an experiment that needs none."""
    return []
