"""The report: one HTML file that needs nothing beside it, and Markdown with its images in a folder."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from maefuse_hf.evaluation.report import STYLE, image_uri
from maefuse_hf.evaluation.table import Table, as_html, as_markdown, table_of
from maefuse_hf.image_files import write_image
from maefuse_hf.whole_files import write_text
from training.reproduction.experiment import Experiment, Figure, Section
from training.reproduction.runs import finished_record, read_record
from training.reproduction.study import Study

OWN_STYLE = """
th, td { text-align: left; white-space: normal }
figure { margin: 1rem 0; max-width: 60rem }
pre { overflow-x: auto }
"""

TITLE = "The paper's experiments, repeated"
NOT_TRIED = (
    "Not tried here: CUDA ([gpu.md](gpu.md) has it), several GPUs or machines (`training/configs/accelerate/`), fp16, "
    "FlashAttention; ViT-MAE-Large and the paper's full images. The same command runs on one GPU; "
    "`training.batch_size`, `training.data.crop_size`, `steps_per_epoch` and `model` make it the paper's size."
)


@dataclass(frozen=True)
class Part:
    """An experiment with its section, or with what it lacks."""

    experiment: Experiment
    section: Section | None
    lacks: str = ""
    """What is not there yet, in words."""

    @property
    def outcome(self) -> str:
        """What came out and what is missing, in a few sentences."""
        return " ".join(filter(None, [self.section.finding if self.section else "", self.lacks]))


def collect(experiments: Sequence[Experiment], study: Study) -> list[Part]:
    """The sections of all experiments whose runs are there, and what the others lack."""
    parts = []
    for experiment in experiments:
        missing = [run.name for run in experiment.runs(study) if finished_record(study.run_folder(run.name)) is None]
        if missing and not experiment.works_with_some(study):
            parts.append(Part(experiment, None, f"Not run yet: {', '.join(missing)}."))
        elif experiment.needs(study):
            parts.append(Part(experiment, None, experiment.needs(study)))
        else:
            lacks = f"Not run yet, and not in these figures: {', '.join(missing)}." if missing else ""
            parts.append(Part(experiment, experiment.section(study), lacks))
    return parts


def facts(study: Study) -> Table:
    """The setting as a table."""
    setting = study.setting
    data = setting.training["data"]
    rows = [
        [
            "pairs",
            f"{setting.training_pairs} to train on, {setting.validation_pairs} to measure on, of "
            f"{setting.pairs or 'rendered ones'}",
        ],
        ["crops", f"{data['crops_per_pair']} of each pair, {data['crop_size']} px"],
        ["encoder and decoder", f"{setting.model}, frozen"],
        ["fusion modules", ", ".join(f"{name} {value}" for name, value in setting.fusion.items() if value is not None)],
        ["epoch", f"{setting.steps_per_epoch} steps of {setting.training['batch_size']} pairs"],
        ["length", f"{setting.epochs} epochs a module: {setting.epochs // 2} + {setting.epochs // 2}, or all direct"],
        ["learning rate", f"{setting.learning_rate:g}, constant (paper: 1e-4, for features of 1024 numbers)"],
        ["loss", ", ".join(f"{name} {weight:g}" for name, weight in setting.training["loss_weights"].items())],
        ["seeds", ", ".join(map(str, setting.seeds))],
    ]
    return table_of(["setting", ""], rows)


def runs_table(parts: Sequence[Part], study: Study) -> Table:
    """How each run was made."""
    rows = []
    for name in dict.fromkeys(run.name for part in parts for run in part.experiment.runs(study)):
        record = read_record(study.run_folder(name))
        rows.append([name, *record_cells(record)] if record else [name, "not run", *[""] * 5])
    head = ["run", "finished", "seed", "commit", "device", "seconds of the last start (of one core)", "starts"]
    return table_of(head, rows)


def record_cells(record: dict[str, Any]) -> list[str]:
    """The cells of a run that was started."""
    times = f"{record['seconds']} ({record['cpu_seconds']})" if "finished" in record else ""
    return [
        record.get("finished", "stopped on the way"),
        str(record["seed"]),
        record["commit"],
        f"{record['device']}, threads: {record['threads']}, torch {record['torch']}",
        times,
        str(record["starts"]),
    ]


def commands(parts: Sequence[Part], study: Study) -> list[str]:
    """The commands by which the runs were made."""
    names = dict.fromkeys(run.name for part in parts for run in part.experiment.runs(study))
    records = [read_record(study.run_folder(name)) for name in names]
    return list(dict.fromkeys(record["command"] for record in records if record))


def summary(parts: Sequence[Part]) -> Table:
    """What came out, a row for each experiment."""
    return table_of(
        ["experiment", "what came out"],
        [[part.experiment.title, part.outcome] for part in parts],
    )


def as_page(parts: Sequence[Part], study: Study) -> str:
    """The HTML report, all images within it."""
    body = [
        f"<h1>{TITLE}</h1>",
        '<p class="quiet">Made by <code>training/reproduce.py</code>; every figure comes from logged numbers.</p>',
        html_table(summary(parts)),
        "<h2>Setting</h2>",
        html_table(facts(study)),
    ]
    for part in parts:
        body += [f"<h2>{escape(part.experiment.title)}</h2>", f"<p><b>Paper:</b> {as_prose(part.experiment.paper)}</p>"]
        if part.lacks:
            body.append(f'<p class="problems">{as_prose(part.lacks)}</p>')
        if part.section is None:
            continue
        body.append(f"<p><b>Here:</b> {as_prose(part.section.finding)}</p>")
        for figure in part.section.figures:
            body.append(
                f'<figure><img alt="{escape(figure.caption)}" src="{image_uri(figure.image)}">'
                f"<figcaption>{escape(figure.caption)}</figcaption></figure>"
            )
        for caption, table in part.section.tables:
            body += [f'<p class="quiet">{escape(caption)}</p>', html_table(table)]
        body += [f"<p>{as_prose(remark)}</p>" for remark in part.section.remarks]
    body += ["<h2>Runs</h2>", html_table(runs_table(parts, study))]
    body += [f"<pre>{escape(command)}</pre>" for command in commands(parts, study)]
    body += [f"<h2>What was not tried</h2><p>{as_prose(NOT_TRIED)}</p>"]
    style = STYLE + OWN_STYLE
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{TITLE}</title><style>{style}</style></head><body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def as_prose(text: str) -> str:
    """A sentence of Markdown, which may have code in it, as HTML."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def html_table(table: Table) -> str:
    """A table that scrolls where it is too wide."""
    return f'<div class="scroll">{as_html(table)}</div>'


def as_document(parts: Sequence[Part], study: Study, images: str) -> str:
    """The Markdown report; `images` is the folder of its images as the document names it."""
    blocks = [
        f"# {TITLE}",
        "This page is made by `training/reproduce.py`; every figure comes from what the runs logged. Images are of "
        "rendered pairs.",
        as_markdown(summary(parts)),
        "## Setting",
        as_markdown(facts(study)),
    ]
    for part in parts:
        blocks += [f"## {part.experiment.title}", f"**Paper:** {part.experiment.paper}"]
        if part.lacks:
            blocks.append(f"**{part.lacks}**")
        if part.section is None:
            continue
        blocks.append(f"**Here:** {part.section.finding}")
        blocks += [f"![{figure.caption}]({images}/{figure.name}.png)\n\n*{figure.caption}*" for figure in shipped(part)]
        for caption, table in part.section.tables:
            blocks += [caption, as_markdown(table)]
        blocks += part.section.remarks
    blocks += ["## Runs", as_markdown(runs_table(parts, study))]
    blocks += [f"```bash\n{command}\n```" for command in commands(parts, study)]
    blocks += ["## What was not tried", NOT_TRIED]
    return "\n\n".join(blocks) + "\n"


def shipped(part: Part) -> list[Figure]:
    """The figures in which nothing of a data set is seen."""
    return [] if part.section is None else [figure for figure in part.section.figures if figure.rendered]


def write_document(parts: Sequence[Part], study: Study, folder: Path) -> None:
    """Write `folder/reproduction.md` and its images into `folder/images/reproduction`."""
    images = folder / "images" / "reproduction"
    images.mkdir(parents=True, exist_ok=True)
    for part in parts:
        for figure in shipped(part):
            write_image(figure.image, images / f"{figure.name}.png")
    text = as_document(parts, study, "images/reproduction")
    write_text(folder / "reproduction.md", text)
