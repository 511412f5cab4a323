# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""What transformers needs to know of MaeFuse models, and how they are loaded."""

import os
from typing import Any, TypeVar, cast

from transformers import PreTrainedModel, ViTMAEModel

from .configuration_maefuse import MaeFuseConfig
from .loading import load_encoder, readable_errors, refuse_incomplete

Model = TypeVar("Model", bound="MaeFusePreTrainedModel")


class MaeFusePreTrainedModel(PreTrainedModel):
    """What transformers needs to know of MaeFuse models."""

    config: MaeFuseConfig
    encoder: ViTMAEModel
    config_class = MaeFuseConfig
    base_model_prefix = "maefuse"
    main_input_name = "infrared"
    input_modalities = ["image"]
    supports_gradient_checkpointing = True
    _no_split_modules = ["ViTMAEEmbeddings", "ViTMAELayer", "ComparativeFusionModule", "MergingFusionModule"]
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """Load a saved MaeFuse, strictly; arguments as in `PreTrainedModel.from_pretrained`.

        Raises:
            ValueError: if the checkpoint lacks weights, has others or has them in other sizes; all are listed.
            OSError: if there is no such checkpoint, or its weights are damaged or no safetensors.
        """
        return_info = kwargs.pop("output_loading_info", False)
        # a pickle could run code, and no MaeFuse was ever saved as one
        fixed = {"output_loading_info": True, "ignore_mismatched_sizes": True, "use_safetensors": True}
        with readable_errors(pretrained_model_name_or_path):
            loaded = super().from_pretrained(pretrained_model_name_or_path, *args, **{**kwargs, **fixed})
        model, info = cast(tuple[Any, dict[str, Any]], loaded)
        refuse_incomplete(f"{pretrained_model_name_or_path} as a {cls.__name__}", info, allowed_prefix=None)
        return (model, info) if return_info else model

    @classmethod
    def from_encoder_pretrained(
        cls: type[Model], pretrained_encoder: str | os.PathLike[str], **config_fields: Any
    ) -> Model:
        """A MaeFuse around a pretrained masked autoencoder, with fresh fusion modules and decoder to be trained.

        Args:
            pretrained_encoder: folder or Hub name of a `ViTMAEModel` or `ViTMAEForPreTraining`, such as
                `"facebook/vit-mae-large"`. The mean and standard deviation of its `preprocessor_config.json` become
                the model's; without that file, ImageNet's.
            config_fields: fields of [`MaeFuseConfig`].

        Raises:
            ValueError: if the checkpoint lacks encoder weights, is another model or a `.pth` file, or a config field
                does not fit.
            OSError: if there is no such checkpoint.
        """
        encoder, statistics = load_encoder(pretrained_encoder)
        return cls.from_encoder(encoder, **{**statistics, **config_fields})

    @classmethod
    def from_encoder(cls: type[Model], encoder: ViTMAEModel, **config_fields: Any) -> Model:
        """A MaeFuse with the weights of this encoder; `config_fields` as in `from_encoder_pretrained`."""
        config = cls.config_class(encoder_config=encoder.config, **config_fields)
        model = cls(config)
        model.encoder.load_state_dict(encoder.state_dict())
        return model
