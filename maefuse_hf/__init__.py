"""MaeFuse: infrared and visible image fusion with a masked autoencoder, for the Hugging Face ecosystem."""

from transformers import AutoConfig, AutoImageProcessor, AutoModel

from .checkpoint import SHIPPED_CHECKPOINT
from .configuration_maefuse import MaeFuseConfig
from .image_processing_maefuse import MaeFuseImageProcessor
from .modeling_maefuse import (
    ComparativeFusionModule,
    MaeFuseDecoder,
    MaeFuseModel,
    MaeFuseOutput,
    MergingFusionModule,
)

AutoConfig.register(MaeFuseConfig.model_type, MaeFuseConfig, exist_ok=True)
AutoModel.register(MaeFuseConfig, MaeFuseModel, exist_ok=True)
AutoImageProcessor.register(MaeFuseConfig, image_processor_classes={"pil": MaeFuseImageProcessor}, exist_ok=True)

__all__ = [
    "SHIPPED_CHECKPOINT",
    "ComparativeFusionModule",
    "MaeFuseConfig",
    "MaeFuseDecoder",
    "MaeFuseImageProcessor",
    "MaeFuseModel",
    "MaeFuseOutput",
    "MergingFusionModule",
]
