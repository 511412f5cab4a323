"""Repeat the paper's experiments in one folder, and write a report of what came out.

    python training/reproduce.py --output_dir DIR [--only fig8 …] [--docs docs]

Runs that are there are not run again, and one that was stopped goes on. DIR/reproduction.html is the report, of what is
there so far; `--docs FOLDER` writes it as FOLDER/reproduction.md too, with images of rendered pairs alone.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from maefuse_hf.evaluation.plots import require_matplotlib
from maefuse_hf.whole_files import write_text
from training.config_file import build, override, read_yaml
from training.reproduction import (
    authors_loss,
    encoders,
    hierarchical,
    infrared_detail,
    quantitative,
    strategies,
    two_stage,
    variations,
)
from training.reproduction.page import as_page, collect, write_document
from training.reproduction.runs import ensure
from training.reproduction.setting import Setting
from training.reproduction.study import CONFIGS, Study

EXPERIMENTS = {
    experiment.key: experiment
    for experiment in (
        quantitative.EXPERIMENT,
        strategies.EXPERIMENT,
        two_stage.EXPERIMENT,
        two_stage.LOCAL,
        variations.EXPERIMENT,
        hierarchical.EXPERIMENT,
        infrared_detail.GAMMA,
        infrared_detail.CONTOUR,
        encoders.EXPERIMENT,
        authors_loss.EXPERIMENT,
    )
}
"""In the order of the paper, which is that of the report."""

FIRST = ("fig8", "fig9", "loss", "fig1", "encoder", "local", "vary")
"""In which order experiments are run: what is claimed first."""

SETTINGS = CONFIGS / "reproduction"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Repeat the experiments of the MaeFuse paper.")
    parser.add_argument("--output_dir", type=Path, required=True, help="where runs and report go")
    parser.add_argument("--config", type=Path, default=SETTINGS / "small.yaml", help="YAML file of the setting")
    parser.add_argument("--tiny", action="store_true", help="a few steps of each run on rendered pairs, to see it work")
    parser.add_argument("--only", nargs="+", choices=EXPERIMENTS, help="the experiments to run; default: all")
    parser.add_argument("--no-runs", action="store_true", help="the report of what is there, without running anything")
    parser.add_argument("--docs", type=Path, help="folder for reproduction.md and images/reproduction/ too")
    parser.add_argument("--evaluation", type=Path, help="folder of maefuse evaluate, for Table 1")
    parser.add_argument(
        "--real_pairs", type=Path, help="folder of pairs to show the shipped model on, in the HTML only"
    )
    parser.add_argument("overrides", nargs="*", help="key=value or group.key=value, over the YAML")
    options = parser.parse_intermixed_args(arguments)
    try:
        require_matplotlib()
        config = SETTINGS / "tiny.yaml" if options.tiny else options.config
        setting = build(Setting, override(read_yaml(config), options.overrides))
        study = Study(setting, options.output_dir, options.evaluation, options.real_pairs)
        study.folder.mkdir(parents=True, exist_ok=True)
        study.prepare()
    except (OSError, ValueError) as error:
        parser.error(str(error))

    chosen = options.only or FIRST
    runs = {run.name: run for key in sorted(chosen, key=place) for run in EXPERIMENTS[key].runs(study)}
    for run in tqdm([] if options.no_runs else list(runs.values()), desc="runs", unit="run"):
        ensure(run, study)

    parts = collect(list(EXPERIMENTS.values()), study)
    page = study.folder / "reproduction.html"
    write_text(page, as_page(parts, study))
    if options.docs is not None:
        write_document(parts, study, options.docs)
    for part in parts:
        print(f"{part.experiment.title}: {part.outcome}")
    print(f"Report: {page}")
    return 0


def place(key: str) -> int:
    """Where an experiment stands in the order of running."""
    return FIRST.index(key) if key in FIRST else len(FIRST)


if __name__ == "__main__":
    sys.exit(main())
