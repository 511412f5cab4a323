"""What a run of `pretrain_mae.py` or `train.py` is made of: validated dataclasses (`config_file.py` reads them)."""

from dataclasses import dataclass, field
from typing import Any

from training.damages import DAMAGES


def require(holds: bool, name: str, came: object, needed: str) -> None:
    """Raise a `ValueError` that names the field, what came and what is needed, unless `holds`."""
    if not holds:
        raise ValueError(f"{name} is {came!r}; it must be {needed}. Change it in the YAML or on the command line.")


def require_precision(name: str | None) -> None:
    """Raise a `ValueError` unless autocast knows the precision, or is to be set up as the launcher says."""
    require(name in (None, "no", "fp16", "bf16"), "mixed_precision", name, "no, fp16 or bf16, or left out")


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
    trust_rate: float = 1.0
    """Learning rate of the decoder's layer of trust, in multiples of the others'."""
    max_grad_norm: float = 1.0
    """Gradients are scaled down to at most this norm."""

    def __post_init__(self) -> None:
        require(self.warmup_steps >= 0, "warmup_steps", self.warmup_steps, "zero or more")
        require(self.trust_rate > 0, "trust_rate", self.trust_rate, "a positive number")
        require(self.max_grad_norm > 0, "max_grad_norm", self.max_grad_norm, "a positive number")


@dataclass(frozen=True)
class DataConfig:
    """Where the images are and how a crop is drawn from them."""

    pairs: str
    """Registered pairs: a folder of images, Parquet files (a glob), or a dataset on the Hub; `training/data.py` says
    what each must hold."""
    split: str = "train"
    """Split of a dataset on the Hub."""
    streaming: bool = False
    """Read a dataset on the Hub, Parquet files or tar files while training, without having them whole on this machine
    first. Each process reads other files."""
    shuffle_buffer: int = 256
    """How many streamed pairs a process draws the next one from."""
    in_memory: bool = True
    """Keep all pairs decoded, in every process; otherwise each crop decodes its pair again."""
    photos: str | None = None
    """Parquet files (a glob) with an image column `image`: further single images for pretraining, and for
    `lone_photos`."""
    lone_photos: int = 0
    """How many of `photos`, spread evenly over them, `train.py` trains on too, each beside a made-up infrared image,
    one in three nearly even and the others of the photo's shapes (`training/lone_photos.py`)."""
    validation_pairs: int = 32
    """How many pairs are kept out of training, spread evenly over the sorted names."""
    validation_names: str | None = None
    """Text file with the name of a pair a line: these are validated on, in place of `validation_pairs`."""
    left_out: tuple[str, ...] = ()
    """Text files with the name of a pair a line: these are neither trained nor validated on."""
    shown_pairs: str | None = None
    """Folder of pairs that each look at the validation shows, in place of validation pairs."""
    crop_size: int = 128
    """Side of the square training crop, in pixels; a multiple of the patch size."""
    crops_per_pair: int | None = None
    """Draw this many crops of each pair once and train on them alone; without it every draw is a new crop."""
    scale_range: tuple[float, float] = (1.0, 1.0)
    """Each crop is cut larger and shrunk by a factor drawn log-uniformly from this range, 1 at most."""
    damage_probability: float = 0.0
    """Chance that a pair, or a single image, is damaged (`training/damages.py`); losses are taken against the same
    undamaged."""
    damage_weights: dict[str, float] = field(default_factory=dict)
    """How often each kind of damage is drawn, by its name in `training/damages.py`, in proportion; kinds that are not
    named count once."""
    gamma_range: tuple[float, float] = (0.6, 1.6)
    """Each image is raised to a power drawn log-uniformly from this range."""
    gain_range: tuple[float, float] = (1.0, 1.0)
    """Each image's contrast to its own mean is multiplied by a factor drawn from this range."""
    black_hot_probability: float = 0.0
    """Chance that the infrared image of a pair is inverted: thermal cameras show hot things white or black."""
    workers: int = 0
    """Processes that prepare batches beside each training process."""

    def __post_init__(self) -> None:
        require(self.workers >= 0, "workers", self.workers, "zero or more")
        if self.streaming:
            require(self.workers <= 1, "workers", self.workers, "0 or 1 with streaming, which keeps one order")
            require(self.crops_per_pair is None, "crops_per_pair", self.crops_per_pair, "left out with streaming")
        require(self.shuffle_buffer > 0, "shuffle_buffer", self.shuffle_buffer, "a positive number")
        crops = self.crops_per_pair
        require(crops is None or crops > 0, "crops_per_pair", crops, "a positive number, or left out")
        require(self.validation_pairs >= 0, "validation_pairs", self.validation_pairs, "zero or more")
        require(self.crop_size > 0, "crop_size", self.crop_size, "a positive number of pixels")
        for name in ("black_hot_probability", "damage_probability"):
            require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "between 0 and 1")
        kinds = [damage.__name__ for damage, _ in DAMAGES]
        known = all(kind in kinds and weight > 0 for kind, weight in self.damage_weights.items())
        require(known, "damage_weights", self.damage_weights, f"positive numbers for any of {', '.join(kinds)}")
        fits = self.lone_photos == 0 or (self.lone_photos > 0 and self.photos is not None and not self.streaming)
        require(fits, "lone_photos", self.lone_photos, "zero, or more with photos, without streaming")
        require(self.scale_range[1] <= 1, "scale_range", self.scale_range, "at most 1: crops are never enlarged")
        named = self.validation_names is not None or bool(self.left_out)
        require(not (self.streaming and named), "streaming", True, "false with validation_names and left_out")
        for name in ("gamma_range", "gain_range", "scale_range"):
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
    """Weight of the linear read-out of unmasked tokens beside the masked loss."""
    unmasked_share: float = 0.1
    """Share of the steps in which nothing is masked."""
    checkpoint_steps: int = 500
    """Steps between two saved states; the newest is resumed from."""
    mixed_precision: str | None = None
    """`no`, `fp16` or `bf16` autocast; empty: as `accelerate launch` was told, or none."""
    seed: int = 0

    def __post_init__(self) -> None:
        whole = self.data.in_memory and not self.data.streaming and self.data.crops_per_pair is None
        require(whole, "data", self.data.pairs, "read into memory, without streaming or crops_per_pair, to pretrain")
        require(self.steps > 0, "steps", self.steps, "a positive number")
        require_precision(self.mixed_precision)
        require(0 <= self.unmasked_share <= 1, "unmasked_share", self.unmasked_share, "between 0 and 1")


@dataclass(frozen=True)
class StageConfig:
    """How long one stage of the guided training runs, and how fast."""

    steps: int = 0
    """Optimizer steps; a stage of no steps is left out."""
    learning_rate: float = 1e-4
    """Peak learning rate (paper, section 4.1: 1e-4)."""
    trains: tuple[str, ...] = ()
    """Parts of the model that change, instead of the one that `training/stages.py` names for this stage."""

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
    new_layers: bool = False
    """Give the trained model the further layers that `model` asks for; they start without effect."""
    fresh_fusion: bool = False
    """Take encoder and decoder of the trained model alone; both fusion modules start at random, as `model` says."""
    decoder_as_read_out: bool = False
    """Start the decoder as the linear read-out that `pretrain_mae.py` left beside the encoder."""
    fusion_at_mean: bool = False
    """Start both fusion modules at the alignment stage's target, the mean of the modalities' own tokens."""
    own_place_logit: float = 4.0
    """Attention bias of a token's own place at the start, where `fusion_attention` is `local`."""


@dataclass(frozen=True)
class FeatureCacheConfig:
    """What the frozen encoder makes of the crops, kept on disk, so that it runs once on each."""

    folder: str | None = None
    """Where caches lie, each under a key of encoder and data; none without it. Needs `data.crops_per_pair`."""
    dtype: str = "float16"
    """`float16` or `float32`."""

    def __post_init__(self) -> None:
        require(self.dtype in ("float16", "float32"), "dtype", self.dtype, "float16 or float32")


@dataclass(frozen=True)
class TrainingConfig:
    """One run of `training/train.py`."""

    data: DataConfig
    stages: StagesConfig
    encoder: str | None = None
    """Folder or Hub name of the masked autoencoder, as `maefuse_hf.conversion.model_from_encoder` takes it."""
    model: dict[str, Any] = field(default_factory=dict)
    """Fields of `MaeFuseConfig`; with `start.model`, those in which its own configuration is to change."""
    start: StartConfig = field(default_factory=StartConfig)
    loss_weights: dict[str, float] | None = None
    """Weight of each term of the fusion loss, named as in `maefuse_hf/losses.py`, in place of the model's own; it
    becomes the model's. A fresh model has Eq. 4."""
    reconstruction_weight: float = 1.0
    """Weight of the single images that the decoder gives back, where it is trained together with a fusion module."""
    guide_sees_damage: bool = False
    """Of a damaged pair the guide shows by the other image what damage hides (`maefuse_hf/guide.py`, `seen`); otherwise
    it is that of the undamaged pair."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """AdamW for all stages; its learning rate is the stage's."""
    feature_cache: FeatureCacheConfig = field(default_factory=FeatureCacheConfig)
    batch_size: int = 16
    """Crops of pairs a process takes at once."""
    gradient_accumulation_steps: int = 1
    """Batches whose gradients make one optimizer step."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them: less memory, more time."""
    mixed_precision: str | None = None
    """`no`, `fp16` or `bf16` autocast; empty: as `accelerate launch` was told, or none."""
    checkpoint_steps: int = 500
    """Optimizer steps between two saved states; the end of a stage is saved too."""
    checkpoint_limit: int = 2
    """How many saved states are kept."""
    sample_steps: int = 500
    """Optimizer steps between two looks at validation pairs: losses and images; the end of a stage has one too."""
    tracker: str | None = "tensorboard"
    """Where losses and images are logged: a tracker of accelerate (`wandb`, `trackio`, …), or none."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("batch_size", "gradient_accumulation_steps", "checkpoint_steps", "sample_steps"):
            require(getattr(self, name) > 0, name, getattr(self, name), "a positive number")
        limit = self.checkpoint_limit
        require(limit > 1, "checkpoint_limit", limit, "2 or more: the oldest goes before the newest is complete")
        require_precision(self.mixed_precision)
        cached = self.feature_cache.folder is not None
        require(
            not cached or self.data.crops_per_pair is not None,
            "data.crops_per_pair",
            self.data.crops_per_pair,
            "a number where feature_cache.folder is set: only crops that come again can be kept",
        )
        require(
            (self.encoder is None) != (self.start.model is None), "encoder", self.encoder, "set, unless start.model is"
        )
        read_out = self.start.decoder_as_read_out
        require(
            not (self.start.model and read_out),
            "start.decoder_as_read_out",
            read_out,
            "false, since start.model is trained",
        )
        new_layers = self.start.new_layers
        require(bool(self.start.model) or not new_layers, "start.new_layers", new_layers, "false without start.model")
        fresh = self.start.fresh_fusion
        fits = not fresh or (self.start.model is not None and not new_layers)
        require(fits, "start.fresh_fusion", fresh, "false without start.model, and beside start.new_layers")
