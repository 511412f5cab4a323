"""What a run of `pretrain_mae.py` or `train.py` is made of: validated dataclasses, read from YAML."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW and its schedule."""

    schedule: str = "constant_with_warmup"
    """Name of a `transformers.get_scheduler` schedule (paper, section 4.1: constant)."""
    warmup_steps: int = 0
    """Steps over which the learning rate rises linearly from zero."""
    weight_decay: float = 0.05
    """Decoupled weight decay."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Decay rates of AdamW's two moments."""
    max_grad_norm: float = 1.0
    """Gradients are scaled down to at most this norm."""

    def __post_init__(self) -> None:
        require(self.warmup_steps >= 0, "warmup_steps", self.warmup_steps, "zero or more")
        require(self.max_grad_norm > 0, "max_grad_norm", self.max_grad_norm, "a positive number")


@dataclass(frozen=True)
class DataConfig:
    """Where the pictures are and how a crop is drawn from them."""

    pairs: str
    """Folder of registered pairs: `metadata.jsonl` with `infrared_file_name` and `visible_file_name`, or two
    folders `infrared/` and `visible/` of same-named pictures."""
    photos: str | None = None
    """Parquet files (a glob) with an image column `image`: further single pictures for pretraining."""
    validation_pairs: int = 32
    """How many pairs are kept out of training, spread evenly over the sorted names."""
    crop_size: int = 128
    """Side of the square training crop, in pixels; a multiple of the patch size."""
    gamma_range: tuple[float, float] = (0.6, 1.6)
    """Each picture is raised to a power drawn log-uniformly from this range."""
    gain_range: tuple[float, float] = (1.0, 1.0)
    """Each picture's contrast to its own mean is multiplied by a factor drawn from this range."""
    black_hot_probability: float = 0.0
    """Chance that the infrared picture of a pair is inverted: thermal cameras show hot things white or black."""
    workers: int = 0
    """Processes that prepare batches beside the training."""

    def __post_init__(self) -> None:
        require(self.validation_pairs >= 0, "validation_pairs", self.validation_pairs, "zero or more")
        require(self.crop_size > 0, "crop_size", self.crop_size, "a positive number of pixels")
        share = self.black_hot_probability
        require(0 <= share <= 1, "black_hot_probability", share, "between 0 and 1")
        for name in ("gamma_range", "gain_range"):
            low, high = getattr(self, name)
            require(0 < low <= high, name, (low, high), "two positive numbers, the smaller one first")


@dataclass(frozen=True)
class PretrainingConfig:
    """One run of `training/pretrain_mae.py`."""

    data: DataConfig
    encoder: dict[str, Any]
    """Fields of `transformers.ViTMAEConfig`; its decoder fields size the light decoder of the masked loss."""
    attn_implementation: str
    """Attention kernel of transformers while training: `eager` or `sdpa`."""
    image_mean: float
    """Mean luminance (0…1) that the encoder's input is centred on."""
    image_std: float
    """Standard deviation of luminance (0…1) that the encoder's input is divided by."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    learning_rate: float = 1e-3
    """Peak learning rate."""
    steps: int = 1000
    """Optimizer steps."""
    batch_size: int = 64
    """Crops a step and process."""
    readout_weight: float = 3.0
    """Weight of the linear read-out of visible tokens beside the masked loss."""
    unmasked_share: float = 0.1
    """Share of the steps in which nothing is masked."""
    checkpoint_steps: int = 500
    """Steps between two saved states; the newest is resumed from."""
    mixed_precision: str = "no"
    """`no`, `fp16` or `bf16` autocast."""
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.steps > 0, "steps", self.steps, "a positive number")
        require(0 <= self.unmasked_share <= 1, "unmasked_share", self.unmasked_share, "between 0 and 1")


@dataclass(frozen=True)
class StageConfig:
    """How long one stage of the guided training runs, and how fast."""

    steps: int = 0
    """Optimizer steps; a stage of no steps is left out."""
    learning_rate: float = 1e-4
    """Peak learning rate (paper, section 4.1: 1e-4)."""

    def __post_init__(self) -> None:
        require(self.steps >= 0, "steps", self.steps, "zero or more")
        require(self.learning_rate > 0, "learning_rate", self.learning_rate, "a positive number")


@dataclass(frozen=True)
class StagesConfig:
    """The stages of the guided training, in their order (`training/stages.py` says what each of them does)."""

    decoder: StageConfig = field(default_factory=StageConfig)
    cfm_align: StageConfig = field(default_factory=StageConfig)
    cfm_fuse: StageConfig = field(default_factory=StageConfig)
    mfm_align: StageConfig = field(default_factory=StageConfig)
    mfm_fuse: StageConfig = field(default_factory=StageConfig)


@dataclass(frozen=True)
class StartConfig:
    """Where fresh layers start, beside the random weights of the paper."""

    model: str | None = None
    """Folder or Hub name of a trained MaeFuse to go on from, instead of an encoder and fresh layers."""
    decoder_as_read_out: bool = False
    """Start the decoder as the linear read-out that `pretrain_mae.py` left beside the encoder."""
    fusion_at_mean: bool = False
    """Start both fusion modules at the alignment stage's target, the mean of the modalities' own tokens."""
    own_place_logit: float = 4.0
    """Attention bias of a token's own place at the start, where `fusion_attention` is `local`."""


@dataclass(frozen=True)
class TrainingConfig:
    """One run of `training/train.py`."""

    data: DataConfig
    stages: StagesConfig
    encoder: str | None = None
    """Folder or Hub name of the masked autoencoder, as `MaeFuseModel.from_encoder_pretrained` takes it."""
    model: dict[str, Any] = field(default_factory=dict)
    """Fields of `MaeFuseConfig`."""
    start: StartConfig = field(default_factory=StartConfig)
    loss_weights: dict[str, float] = field(default_factory=lambda: {"intensity": 1.0, "gradient": 2.0})
    """Weight of each term of the fusion loss (Eq. 4), named as in `training/losses.py`."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """AdamW for all stages; its learning rate is the stage's."""
    batch_size: int = 16
    """Crops of pairs a step and process."""
    mixed_precision: str = "no"
    """`no`, `fp16` or `bf16` autocast."""
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.batch_size > 0, "batch_size", self.batch_size, "a positive number")
        require(
            (self.encoder is None) != (self.start.model is None), "encoder", self.encoder, "set, unless start.model is"
        )
        fresh = self.start.model is None or not self.model
        require(fresh, "model", self.model, "left out, since start.model brings its own configuration")


Config = TypeVar("Config")


def require(holds: bool, name: str, came: object, needed: str) -> None:
    """Raise a `ValueError` that names the field, what came and what is needed, unless `holds`."""
    if not holds:
        raise ValueError(f"{name} is {came!r}; it must be {needed}. Change it in the YAML or on the command line.")


def build(config_class: type[Config], values: dict[str, Any]) -> Config:
    """Make a (nested) dataclass out of plain YAML values; unknown keys raise a `ValueError` that lists them."""
    if not isinstance(values, dict):
        raise ValueError(f"{config_class.__name__} needs a mapping of its fields, but {values!r} came.")
    known = {item.name: item for item in fields(config_class)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"{config_class.__name__} has no field {', '.join(unknown)}; it has {', '.join(known)}.")
    arguments = {}
    for name, value in values.items():
        kind = known[name].type
        if isinstance(kind, type) and hasattr(kind, "__dataclass_fields__"):
            value = build(kind, value)
        elif isinstance(value, list):
            value = tuple(value)
        elif kind is float and isinstance(value, int):
            value = float(value)
        elif kind in (bool, float, int, str) and type(value) is not kind:
            # YAML reads 1e-4 as text: a number with an exponent needs a point
            require(
                False, f"{config_class.__name__}.{name}", value, f"of type {kind.__name__} (such as 1.0e-4, not 1e-4)"
            )
        arguments[name] = value
    try:
        return config_class(**arguments)
    except TypeError as error:
        raise ValueError(f"{config_class.__name__} is incomplete: {error}.") from error


def override(values: dict[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Apply `key=value` and `group.key=value` assignments (values read as YAML) to a mapping."""
    for assignment in assignments:
        path, separator, text = assignment.partition("=")
        if not separator:
            raise ValueError(f"'{assignment}' is no override; write it as key=value or group.key=value.")
        *groups, key = path.split(".")
        target = values
        for group in groups:
            target = target.setdefault(group, {})
        target[key] = yaml.safe_load(text)
    return values


def parse_run(config_class: type[Config], description: str) -> tuple[Config, Path]:
    """Read `--config YAML --output_dir DIR [key=value …]` from the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--config", type=Path, required=True, help="YAML file, see training/configs")
    parser.add_argument("--output_dir", type=Path, required=True, help="where checkpoints and results go")
    parser.add_argument("overrides", nargs="*", help="key=value or group.key=value, over the YAML")
    arguments = parser.parse_args()
    try:
        values = yaml.safe_load(arguments.config.read_text())
        return build(config_class, override(values, arguments.overrides)), arguments.output_dir
    except (OSError, ValueError) as error:
        parser.error(str(error))


def save_resolved(config: Any, output_dir: Path) -> None:
    """Write the configuration of a run, defaults and overrides included, to `output_dir/config.yaml`."""
    output_dir.mkdir(parents=True, exist_ok=True)
    # through JSON, which turns tuples into plain lists
    plain = json.loads(json.dumps(asdict(config)))
    (output_dir / "config.yaml").write_text(yaml.safe_dump(plain, sort_keys=False))
