"""Pairs and systems in; rows of metrics, tables with intervals, plots and a report out."""

from .processes import Processes, launched_processes
from .runner import (
    AVERAGE,
    BASELINES,
    MAXIMUM,
    SOURCES,
    SOURCES_ALONE,
    Dataset,
    FolderSystem,
    ModelSystem,
    Row,
    System,
    evaluate,
    read_datasets,
)
from .summary import Summaries, Summary, as_json, best_systems, escaped, facts, interval, markdown, number, summarise

__all__ = [
    "AVERAGE",
    "BASELINES",
    "MAXIMUM",
    "SOURCES",
    "SOURCES_ALONE",
    "Dataset",
    "FolderSystem",
    "ModelSystem",
    "Processes",
    "Row",
    "Summaries",
    "Summary",
    "System",
    "as_json",
    "best_systems",
    "escaped",
    "evaluate",
    "facts",
    "interval",
    "launched_processes",
    "markdown",
    "number",
    "read_datasets",
    "report",
    "summarise",
]
