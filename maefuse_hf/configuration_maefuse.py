# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Configuration of MaeFuse: every architectural number, once."""

import logging
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import field, fields
from typing import Any, Literal, get_args

from huggingface_hub.dataclasses import strict
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, PreTrainedConfig, ViTMAEConfig
from transformers.configuration_utils import SubConfigSpec
from transformers.pipelines import PIPELINE_REGISTRY

from .guide import GUIDE

LARGEST_SIGMA = 100.0
"""The largest Gaussian in pixels; its kernel takes memory."""

DETAIL_NUMBERS = {
    "detail_agreement": "",
    "detail_tolerance": " of grey values",
    "detail_floor": " of grey values",
    "detail_limit": "",
}
"""Fields that must be positive, and their unit."""

EQUATION_4 = {"intensity": 1.0, "gradient": 2.0}
"""The terms of the paper's fusion loss and their weights; the second is alpha (section 4.1)."""

# Fields that were there before: their names now, and what becomes of their values.
FORMER_FIELDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "attention_window": ("tile_size", lambda tokens: tokens),
    "merging_competition": ("merging_joint_softmax", lambda joint: joint),
    "gradient_loss_weight": ("loss_weights", lambda alpha: {**EQUATION_4, "gradient": alpha}),
}

# Fields of the rule that refined the images of version 0.1.0 and is no part of the model any more: those that turned a
# step of it on, and what else a checkpoint may hold of it.
STEPS_OF_THE_RULE = ("contrast_gain", "darker_weight", "detail_sigma")
FIELDS_OF_THE_RULE = (*STEPS_OF_THE_RULE, "contrast_outliers")

# Keys of config.json that are no fields and that transformers reads or writes.
SERVICE_KEYS = {"_attn_implementation_internal", "_commit_hash", "attn_implementation", "auto_map", "custom_pipelines"}
SERVICE_KEYS |= {"_name_or_path", "model_type", "name_or_path", "output_attentions", "torch_dtype"}
SERVICE_KEYS |= {"transformers_version"}

# How the names of fields end that hold a size or a number of parts.
SIZES = ("hidden_size", "intermediate_size", "patch_size", "image_size", "num_attention_heads", "num_channels")

logger = logging.getLogger(__name__)

# facebook/vit-mae-large, the encoder of the paper (section 3.1)
VIT_MAE_LARGE = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "mask_ratio": 0.0,
}


class InstalledTasks(dict[str, Any]):
    """The tasks that a checkpoint names and whose pipelines are registered here.

    `pipeline(model=…)` without a task takes the only one of a configuration's `custom_pipelines`. Then it asks whether
    the task is `in` it, to run the checkpoint's own code, for which it wants trust. It is not: the registered pipeline
    is used.
    """

    def __contains__(self, task: object) -> bool:
        return False


@strict
class MaeFuseConfig(PreTrainedConfig):
    r"""Configuration of a [`MaeFuseModel`]. The defaults are the paper's: a ViT-MAE-Large encoder, token attention
    in both fusion modules, a decoder of four ViT blocks.

    Args:
        encoder_config (`ViTMAEConfig` or `dict`, *optional*, defaults to ViT-MAE-Large):
            The masked-autoencoder encoder E (paper, Eq. 1), shared by both modalities.
        freeze_encoder (`bool`, *optional*, defaults to `True`):
            Keep the encoder's parameters without gradient and the encoder in evaluation mode, also after
            `from_pretrained` and `.train()`.
        use_cls_token (`bool`, *optional*, defaults to `True`):
            Let the encoder see its CLS token, as published MAE checkpoints were pretrained. It is dropped after the
            encoder: the fusion modules and the decoder see patches only.
        position_embedding (`"interpolate"` or `"native"`, *optional*, defaults to `"interpolate"`):
            Positions of grids other than the pretraining one: interpolated from it, or sin-cos of the actual grid.
        tile_size (`int`, *optional*):
            About how many tokens a side the tiles have. Each tile goes through the whole model alone, and the fused
            tiles are blended where they overlap. As many tiles cover an image as come nearest to this size. Without it
            all tokens of an image attend to each other (paper), and time grows with the square of its area. The
            encoder's own pretraining grid is a good choice: the encoder was pretrained on images of that size.
        tile_overlap (`int`, *optional*, defaults to 2):
            How many tokens neighbouring tiles share at least.
        coarse_factor (`int`, *optional*):
            Fuse the pair this many times smaller as well where it needs several tiles, and take from that image what is
            coarser than `coarse_sigma`. A tile sees too little to tell haze from a pale sky. Without it every tile
            decides alone.
        coarse_sigma (`float`, *optional*, defaults to 16.0):
            Standard deviation in pixels of the Gaussian that parts coarse structure from the rest.
        fusion_attention (`"global"`, `"local"` or `"pointwise"`, *optional*, defaults to `"global"`):
            What a token of the fusion modules attends to: all tokens (paper), a square window around its own
            position with a learned bias for each offset and head, or the token at its own position alone (the
            authors' published checkpoint).
        fusion_window (`int`, *optional*, defaults to 3):
            Side of the window of `"local"` attention, in tokens; odd.
        fusion_num_attention_heads (`int`, *optional*, defaults to the encoder's):
            Heads of both fusion modules.
        fusion_intermediate_size (`int`, *optional*, defaults to the encoder's):
            Width of the merging module's MLP.
        merging_joint_softmax (`bool`, *optional*, defaults to `False`):
            One joint softmax over the tokens of both modalities in the merging module, instead of two softmaxes whose
            results are summed (paper).
        merging_blocks (`int`, *optional*, defaults to 0):
            Further blocks of the merging module. Each has attention to all tokens of both modalities, and an MLP that
            sees the tokens of both beside the merged one (paper: none).
        fusion_position_embedding (`bool`, *optional*, defaults to `False`):
            Add sin-cos positions of the actual grid to both images' features at the entrance of both fusion
            modules, as the authors' published checkpoint needs.
        fusion_layer_norm_eps (`float`, *optional*, defaults to 1e-5):
            Epsilon of the merging module's layer norm.
        decoder_hidden_size (`int`, *optional*, defaults to 512):
            Width of the decoder D (paper, Eq. 3).
        decoder_num_hidden_layers (`int`, *optional*, defaults to 4):
            Its ViT blocks.
        decoder_num_attention_heads (`int`, *optional*, defaults to 16):
            Their heads.
        decoder_intermediate_size (`int`, *optional*, defaults to 2048):
            The width of their MLPs.
        decoder_position_embedding (`bool`, *optional*, defaults to `True`):
            Add sin-cos positions of the actual grid at the decoder's entrance. Tokens carry the encoder's positions
            already; a decoder that starts as a linear read-out of them goes without.
        source_detail_sigma (`float`, *optional*):
            Take what is finer than a Gaussian of this many pixels from infrared and visible as far as the decoded image
            confirms it, corrected by what a second layer of the decoder says. Without it all comes from the decoder
            (paper).
        detail_agreement (`float`, *optional*, defaults to 12.0):
            How sharply the agreement with the decoded image decides there.
        detail_tolerance (`float`, *optional*, defaults to 16.0):
            Distance in grey values of 255 at which a source and the decoded image count alike.
        detail_sharpness (`float`, *optional*, defaults to 8.0):
            How far the livelier of two sources prevails that are confirmed alike.
        detail_floor (`float`, *optional*, defaults to 1.0):
            Activity, and distance, in grey values of 255 that counts as none.
        detail_limit (`float`, *optional*, defaults to 3.0):
            How far activity alone may decide, as a logit: noise is lively too.
        detail_gain (`float`, *optional*):
            Give the sources' details the contrast that the decoded image has there where it is more, up to this many
            times their own: haze and glare take it from a photo. Without it detail comes as the source has it.
        truncate_to_8_bit (`bool`, *optional*, defaults to `False`):
            Clip every predicted channel to [0, 1] and cut it down to whole 255ths before luminance is taken of the
            channels, as the authors' published images were made.
        image_mean, image_std (`list[float]`, *optional*, defaults to ImageNet's):
            What the encoder's pretraining centred its channels on and divided them by, for values in [0, 1]; one
            number for each input channel of the encoder. The model normalises by itself.
        loss_weights (`dict[str, float]`, *optional*, defaults to `{"intensity": 1.0, "gradient": 2.0}`):
            Weight of each term of the fusion loss, by the names in `losses.py`; the default is the paper's Eq. 4 with
            its alpha of 2. Training minimises this loss, and `return_loss=True` gives it.
        initializer_range (`float`, *optional*, defaults to 0.02):
            Standard deviation of freshly initialised weights.

    Raises:
        ValueError: if sizes do not fit each other; the message names the fields.

    Example:

    ```python
    >>> from maefuse_hf import MaeFuseConfig, MaeFuseModel

    >>> model = MaeFuseModel(MaeFuseConfig())
    ```
    """

    model_type = "maefuse"
    sub_configs_defaults = {
        "encoder_config": SubConfigSpec(config_class=AutoConfig, model_type="vit_mae", init_kwargs=VIT_MAE_LARGE)
    }

    # always a ViTMAEConfig after construction; a mapping or nothing may come in
    encoder_config: Any = None
    freeze_encoder: bool = True
    use_cls_token: bool = True
    position_embedding: Literal["interpolate", "native"] = "interpolate"
    tile_size: int | None = None
    tile_overlap: int = 2
    coarse_factor: int | None = None
    coarse_sigma: float = 16.0
    fusion_attention: Literal["global", "local", "pointwise"] = "global"
    fusion_window: int = 3
    fusion_num_attention_heads: int | None = None
    fusion_intermediate_size: int | None = None
    merging_joint_softmax: bool = False
    merging_blocks: int = 0
    fusion_position_embedding: bool = False
    fusion_layer_norm_eps: float = 1e-5
    decoder_hidden_size: int = 512
    decoder_num_hidden_layers: int = 4
    decoder_num_attention_heads: int = 16
    decoder_intermediate_size: int = 2048
    decoder_position_embedding: bool = True
    source_detail_sigma: float | None = None
    detail_sharpness: float = GUIDE.detail_sharpness
    detail_floor: float = GUIDE.detail_floor
    detail_limit: float = 3.0
    detail_agreement: float = 12.0
    detail_tolerance: float = 16.0
    detail_gain: float | None = None
    truncate_to_8_bit: bool = False
    image_mean: list[float] | tuple[float, ...] = (0.485, 0.456, 0.406)
    image_std: list[float] | tuple[float, ...] = (0.229, 0.224, 0.225)
    loss_weights: dict[str, float] = field(default_factory=lambda: dict(EQUATION_4))
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs) -> None:
        if "custom_pipelines" in kwargs:
            # of a task that is registered here the installed code is used, and transformers need not ask for trust
            tasks = kwargs.pop("custom_pipelines")
            others = {task: info for task, info in tasks.items() if task not in PIPELINE_REGISTRY.supported_tasks}
            kwargs["custom_pipelines"] = others or InstalledTasks(tasks)
        for old, (new, converted) in FORMER_FIELDS.items():
            if old in kwargs:
                warnings.warn(f"{old} is now {new}; save the model again to store it so.", FutureWarning, stacklevel=2)
                setattr(self, new, converted(kwargs.pop(old)))
        dropped = {name: kwargs.pop(name) for name in FIELDS_OF_THE_RULE if name in kwargs}
        steps = [name for name in STEPS_OF_THE_RULE if dropped.get(name) is not None]
        if steps:
            warnings.warn(
                f"{', '.join(steps)}: version 0.1.0 refined its images by these, and no version does so any more, so "
                "this checkpoint gives other images. Install maefuse-hf==0.1.0 for the old ones.",
                FutureWarning,
                stacklevel=2,
            )
        unknown = sorted(kwargs.keys() - SERVICE_KEYS)
        if isinstance(self.encoder_config, dict):
            known = {one.name for one in fields(ViTMAEConfig)} | SERVICE_KEYS
            unknown += [f"encoder_config.{key}" for key in sorted(self.encoder_config.keys() - known)]
        if unknown:
            logger.warning("The configuration has unknown keys, which change nothing: %s.", ", ".join(unknown))
        super().__post_init__(**kwargs)
        if self.fusion_num_attention_heads is None:
            self.fusion_num_attention_heads = self.encoder_config.num_attention_heads
        if self.fusion_intermediate_size is None:
            self.fusion_intermediate_size = self.encoder_config.intermediate_size
        self.check_sizes()

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """A configuration from what `config.json` holds; whole numbers stand for floating point ones too.

        Raises:
            ValueError: if it is of another model, or a value has the wrong type or is out of range.
        """
        if not isinstance(config_dict, dict):
            raise ValueError(f"config.json holds a {type(config_dict).__name__} instead of named fields.")
        if (model_type := config_dict.get("model_type", cls.model_type)) != cls.model_type:
            raise ValueError(f"config.json has model_type {model_type!r}; MaeFuse needs {cls.model_type!r}.")
        encoder = config_dict.get("encoder_config")
        values = with_floats(config_dict, cls)
        if isinstance(encoder, dict):
            values["encoder_config"] = with_floats(encoder, ViTMAEConfig)
        try:
            return super().from_dict(values, **kwargs)
        except StrictDataclassError as error:
            raise ValueError(f"config.json cannot be used. {' '.join(str(error).split())}") from error

    def to_dict(self) -> dict[str, Any]:
        """All fields; without the tasks of installed code, which is not saved along with a configuration."""
        values = super().to_dict()
        if isinstance(values.get("custom_pipelines"), InstalledTasks):
            del values["custom_pipelines"]
        return values

    def check_sizes(self) -> None:
        """Raise the `ValueError`s of the class; no validator of `@strict`, which would wrap them in its own error."""
        encoder = self.encoder_config
        check_numbers(self)
        if encoder.model_type != "vit_mae":
            raise ValueError(f"encoder_config has model_type {encoder.model_type!r}; MaeFuse needs 'vit_mae'.")
        if not isinstance(encoder.patch_size, int) or not isinstance(encoder.image_size, int):
            raise ValueError(
                f"encoder_config has patch_size={encoder.patch_size} and image_size={encoder.image_size}; both must "
                "be single integers (square patches, a square pretraining grid)."
            )
        if encoder.image_size % encoder.patch_size:
            raise ValueError(
                f"encoder_config.image_size={encoder.image_size} is no multiple of patch_size={encoder.patch_size}."
            )
        if encoder.num_channels not in (1, 3):
            raise ValueError(
                f"encoder_config.num_channels={encoder.num_channels}; one (luminance) or three (luminance repeated) "
                "channels are needed."
            )
        for name, width, heads in (
            ("hidden_size", encoder.hidden_size, encoder.num_attention_heads),
            ("hidden_size", encoder.hidden_size, self.fusion_num_attention_heads),
            ("decoder_hidden_size", self.decoder_hidden_size, self.decoder_num_attention_heads),
        ):
            if heads is None or width % heads:
                raise ValueError(f"{name}={width} cannot be split into {heads} attention heads; choose a divisor.")
        if self.tile_size is not None and self.tile_size < 1:
            raise ValueError(f"tile_size={self.tile_size}; it must be a positive number of tokens.")
        if self.tile_overlap < 0:
            raise ValueError(f"tile_overlap={self.tile_overlap}; it must be a number of tokens, zero or more.")
        if self.coarse_factor is not None and self.coarse_factor < 2:
            raise ValueError(f"coarse_factor={self.coarse_factor}; it must be a whole number above one, or left out.")
        if not 0 < self.coarse_sigma <= LARGEST_SIGMA:
            raise ValueError(f"coarse_sigma={self.coarse_sigma}; it must be positive, {LARGEST_SIGMA} pixels at most.")
        for name, blocks in (
            ("encoder_config.num_hidden_layers", encoder.num_hidden_layers),
            ("decoder_num_hidden_layers", self.decoder_num_hidden_layers),
            ("merging_blocks", self.merging_blocks),
        ):
            if blocks < 0:
                raise ValueError(f"{name}={blocks}; it must be a number of blocks, zero or more.")
        sigma = self.source_detail_sigma
        if sigma is not None and not 0 < sigma <= LARGEST_SIGMA:
            raise ValueError(
                f"source_detail_sigma={sigma}; it must be a positive number of pixels, {LARGEST_SIGMA} at most, or "
                "left out."
            )
        for name, unit in DETAIL_NUMBERS.items():
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}={getattr(self, name)}; it must be a positive number{unit}.")
        if self.detail_gain is not None and self.detail_gain < 1:
            raise ValueError(f"detail_gain={self.detail_gain}; it must be a factor of one or more, or left out.")
        if self.fusion_window < 1 or self.fusion_window % 2 == 0:
            raise ValueError(f"fusion_window={self.fusion_window}; it must be odd, so that it has a centre.")
        if not len(self.image_mean) == len(self.image_std) == encoder.num_channels:
            raise ValueError(
                f"image_mean has {len(self.image_mean)} and image_std {len(self.image_std)} numbers; the encoder has "
                f"{encoder.num_channels} channels and needs one for each."
            )


def check_numbers(config: MaeFuseConfig) -> None:
    """Raise a `ValueError` for sizes below 1, NaN and infinity, and standard deviations that are not above 0."""
    encoder = config.encoder_config
    for name, holder in (("", config), ("encoder_config.", encoder)):
        for one in fields(holder):
            value = getattr(holder, one.name)
            if not all_finite(value):
                raise ValueError(f"{name}{one.name}={value}; finite numbers are needed.")
            if one.name.endswith(SIZES) and isinstance(value, int) and value < 1:
                raise ValueError(f"{name}{one.name}={value}; it must be at least 1.")
    if min(config.image_std, default=1) <= 0:
        raise ValueError(f"image_std={list(config.image_std)}; images are divided by it, so it must be above 0.")


def all_finite(value: Any) -> bool:
    """Whether no number in a field, itself or in a list or mapping, is NaN or infinite."""
    if isinstance(value, Mapping):
        return all(map(all_finite, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(all_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def with_floats(values: Mapping[str, Any], config_class: Any) -> dict[str, Any]:
    """The same fields, whole numbers as floating point ones where the class wants these."""
    kinds = {one.name: one.type for one in fields(config_class)}
    return {name: as_floats(value) if holds_floats(kinds.get(name)) else value for name, value in values.items()}


def holds_floats(kind: Any) -> bool:
    """Whether a field of this type, such as `float | None` or `list[float]`, holds floating point numbers."""
    return kind is float or any(map(holds_floats, get_args(kind)))


def as_floats(value: Any) -> Any:
    """A whole number, or all of them in a list or mapping, as floating point ones; anything else as it is."""
    if isinstance(value, dict):
        return {name: as_floats(one) for name, one in value.items()}
    if isinstance(value, list):
        return [as_floats(one) for one in value]
    return float(value) if type(value) is int else value


__all__ = ["MaeFuseConfig"]
