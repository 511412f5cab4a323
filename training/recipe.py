"""Which runs made a checkpoint: their resolved configurations, followed back from the last one to the first."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from training.config_file import RESOLVED

TRAINING_CONFIG = "training_config.yaml"
"""Where a published checkpoint keeps the configurations of its runs, in their order."""


@dataclass(frozen=True)
class Run:
    """One run of `pretrain_mae.py` or `train.py`."""

    name: str
    config: dict[str, Any]
    """Its resolved configuration."""

    @property
    def is_pretraining(self) -> bool:
        """Whether it made an encoder."""
        return "stages" not in self.config


def find_runs(checkpoint: Path) -> list[Run]:
    """The runs that made a checkpoint, first to last; none where nothing tells.

    Args:
        checkpoint: the folder of a run, a folder that the run left in it (`final`, `stages/NAME`, `encoder`), or a
            published checkpoint with its `training_config.yaml`.

    Raises:
        ValueError: if such a file does not hold what it should.
    """
    if (checkpoint / TRAINING_CONFIG).is_file():
        return read_runs(checkpoint / TRAINING_CONFIG)
    folder = checkpoint.resolve()
    for place in (folder, folder.parent, *([folder.parent.parent] if folder.parent.name == "stages" else [])):
        if (place / RESOLVED).is_file():
            config = yaml.safe_load((place / RESOLVED).read_text())
            if not isinstance(config, dict):
                raise ValueError(f"{place / RESOLVED} holds no configuration of a run.")
            return [*earlier_runs(config), Run(place.name, config)]
    return []


def earlier_runs(config: dict[str, Any]) -> list[Run]:
    """The runs that made what a run started from, where it lies on this machine."""
    source = (config.get("start") or {}).get("model") or config.get("encoder")
    return find_runs(Path(source)) if isinstance(source, str) and Path(source).is_dir() else []


def read_runs(path: Path) -> list[Run]:
    """The runs of a `training_config.yaml`."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    runs = content.get("runs") if isinstance(content, dict) else None
    if not isinstance(runs, list) or not all(
        isinstance(run, dict) and {"name", "config"} <= run.keys() for run in runs
    ):
        raise ValueError(f"{path} holds no list `runs`, each with `name` and `config`.")
    return [Run(run["name"], run["config"]) for run in runs]


def write_runs(runs: Sequence[Run], path: Path) -> None:
    """Write a `training_config.yaml`, without the folders of this machine."""
    content = {"runs": [{"name": run.name, "config": without_folders(run.config)} for run in runs]}
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")


def without_folders(value: Any) -> Any:
    """A configuration whose absolute paths are relative to the working directory, or else cut to their last part."""
    if isinstance(value, dict):
        return {name: without_folders(item) for name, item in value.items()}
    if isinstance(value, list):
        return [without_folders(item) for item in value]
    if not isinstance(value, str) or not Path(value).is_absolute():
        return value
    path, here = Path(value), Path.cwd()
    return str(path.relative_to(here)) if here in path.parents else path.name
