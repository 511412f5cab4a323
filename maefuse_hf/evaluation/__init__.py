"""Pairs and systems in; rows of metrics, tables with intervals, plots and a report out."""

from .baselines import AVERAGE, BASELINES, MAXIMUM, RULE, SOURCES_ALONE
from .processes import Processes, launched_processes
from .provenance import data_sha256, refuse_other_weights, weights_sha256
from .runner import (
    SOURCES,
    Dataset,
    FolderSystem,
    ModelSystem,
    Row,
    System,
    evaluate,
    read_datasets,
)
from .summary import Summaries, Summary, as_json, facts, markdown, metrics_table, pairs_measured, summarise
from .table import Cell, Table, as_csv, as_html, as_markdown, as_text, table_of

__all__ = [
    "AVERAGE",
    "BASELINES",
    "MAXIMUM",
    "RULE",
    "SOURCES",
    "SOURCES_ALONE",
    "Cell",
    "Dataset",
    "FolderSystem",
    "ModelSystem",
    "Processes",
    "Row",
    "Summaries",
    "Summary",
    "System",
    "Table",
    "as_csv",
    "as_html",
    "as_json",
    "as_markdown",
    "as_text",
    "data_sha256",
    "evaluate",
    "facts",
    "launched_processes",
    "markdown",
    "metrics_table",
    "pairs_measured",
    "read_datasets",
    "refuse_other_weights",
    "report",
    "summarise",
    "table_of",
    "weights_sha256",
]
