"""One folder in which experiments are repeated: where its pairs and runs lie, and the configuration of each run."""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import trange

from maefuse_hf import MaeFuseConfig
from maefuse_hf.example_scene import render_example_pair
from maefuse_hf.image_files import write_image
from maefuse_hf.inference import PairPaths, find_pairs
from maefuse_hf.whole_files import write_text
from training.config import TrainingConfig
from training.config_file import build, merged
from training.data import names_in_file
from training.reproduction.setting import Setting

CONFIGS = Path(__file__).parent.parent / "configs"

RENDERED_SIDE = 96
"""Side of the rendered pairs in pixels."""

SHOWN = 2
"""How many rendered pairs each look at the validation shows."""


@dataclass(frozen=True)
class Study:
    """A setting and the folder that holds everything made of it."""

    setting: Setting
    folder: Path
    evaluation: Path | None = None
    """A folder of `maefuse evaluate`, which Table 1 is read from."""
    real_pairs: Path | None = None
    """A folder of pairs that the shipped model is shown on, outside the repository."""

    @property
    def patch_size(self) -> int:
        """Side of the patches of the setting's encoder, in pixels."""
        return int(MaeFuseConfig.from_pretrained(self.setting.model).encoder_config.patch_size)

    @property
    def pairs(self) -> Path:
        """The pairs that are trained and validated on."""
        return self.folder / "pairs"

    @property
    def rendered(self) -> Path:
        """The pairs that images show."""
        return self.folder / "rendered"

    @property
    def validation_names(self) -> Path:
        """Names of the pairs that the curves are measured on."""
        return self.folder / "validation.txt"

    def run_folder(self, name: str) -> Path:
        """Where a run lies."""
        return self.folder / "runs" / name

    def stage_folder(self, name: str, stage: str) -> Path:
        """Where the model of a run lies as a stage left it."""
        return self.run_folder(name) / "stages" / stage

    def training(self, seed: int, stages: dict[str, dict[str, Any]], **fields: Any) -> TrainingConfig:
        """The configuration of a run of this study.

        Args:
            seed: of the run.
            stages: steps and whatever else of each stage that has any; the learning rate is the setting's.
            fields: over those that all runs share.
        """
        setting = self.setting
        planned = {name: {"learning_rate": setting.learning_rate, **plan} for name, plan in stages.items()}
        shared = {
            "data": {
                "pairs": str(self.pairs),
                "validation_names": str(self.validation_names),
                "shown_pairs": str(self.rendered),
            },
            "feature_cache": {"folder": str(self.folder / "features")},
            "stages": planned,
            "sample_steps": setting.look_epochs * setting.steps_per_epoch,
            "checkpoint_steps": setting.half,
            "seed": seed,
        }
        return build(TrainingConfig, merged(merged(shared, setting.training), fields))

    def fresh_fusion(self, attention: str = "global") -> dict[str, Any]:
        """The fields of a run that starts from the setting's encoder and decoder under random fusion modules."""
        return {
            "start": {"model": self.setting.model, "fresh_fusion": True},
            "model": {**self.setting.fusion, "fusion_attention": attention},
        }

    def prepare(self) -> None:
        """Choose the pairs and render those that are shown, once.

        Raises:
            ValueError: if this folder was made in another setting, or there are too few pairs.
            OSError: if the pairs cannot be read.
        """
        written = self.folder / "setting.json"
        content = json.dumps(asdict(self.setting), indent=1) + "\n"
        if written.is_file():
            if written.read_text(encoding="utf-8") != content:
                raise ValueError(
                    f"{self.folder} was made in another setting ({written}). Choose another --output_dir, or remove it."
                )
            return
        render(self.rendered, SHOWN, first_seed=0)
        source = Path(self.setting.pairs) if self.setting.pairs is not None else self.folder / "rendered_for_training"
        if self.setting.pairs is None:
            render(source, self.setting.training_pairs + self.setting.validation_pairs, first_seed=SHOWN)
        training, validation = chosen_pairs(source, self.setting)
        shutil.rmtree(self.pairs, ignore_errors=True)
        for pair in (*training, *validation):
            link(pair, self.pairs)
        write_text(self.validation_names, "".join(f"{pair.name}\n" for pair in validation))
        write_text(written, content)


def render(folder: Path, count: int, first_seed: int) -> None:
    """Render pairs of a night street into `folder/infrared` and `folder/visible`."""
    for half in ("infrared", "visible"):
        (folder / half).mkdir(parents=True, exist_ok=True)
    for seed in trange(first_seed, first_seed + count, desc="rendering", unit="pair"):
        infrared, visible = render_example_pair(RENDERED_SIDE, RENDERED_SIDE, seed=seed)
        write_image(infrared, folder / "infrared" / f"{seed:04d}.png")
        write_image(visible, folder / "visible" / f"{seed:04d}.png")


def chosen_pairs(folder: Path, setting: Setting) -> tuple[list[PairPaths], list[PairPaths]]:
    """Training and validation pairs of a folder, each spread evenly over those that may be used.

    Raises:
        ValueError: if there are too few.
    """
    pairs, _ = find_pairs(folder)
    left_out = {name for file in setting.left_out for name in names_in_file(file)}
    usable = [pair for pair in pairs if pair.name not in left_out]
    if setting.validation_names is None:
        validation = spread(usable, setting.validation_pairs, "validation_pairs")
    else:
        named = set(names_in_file(setting.validation_names))
        validation = spread(
            [pair for pair in usable if pair.name in named], setting.validation_pairs, "validation_pairs"
        )
        usable = [pair for pair in usable if pair.name not in named]
    others = [pair for pair in usable if pair not in validation]
    return spread(others, setting.training_pairs, "training_pairs"), validation


def spread(pairs: list[PairPaths], count: int, field: str) -> list[PairPaths]:
    """`count` of the pairs, spread evenly; a `ValueError` that names the field if there are fewer."""
    if count > len(pairs):
        raise ValueError(f"{field} is {count}, but there are {len(pairs)} pairs to take them from; lower it.")
    return [pairs[(2 * number + 1) * len(pairs) // (2 * count)] for number in range(count)]


def link(pair: PairPaths, folder: Path) -> None:
    """Make a pair appear in `folder/infrared` and `folder/visible`, without a copy."""
    for half, path in (("infrared", pair.infrared), ("visible", pair.visible)):
        (folder / half).mkdir(parents=True, exist_ok=True)
        (folder / half / f"{pair.name}{path.suffix}").symlink_to(path.resolve())
