"""MaeFuse: infrared and visible image fusion with a masked autoencoder, for the Hugging Face ecosystem."""

from transformers import AutoConfig, AutoImageProcessor, AutoModel
from transformers.pipelines import PIPELINE_REGISTRY

from .configuration_maefuse import MaeFuseConfig
from .image_processing_maefuse import MaeFuseImageProcessor
from .inference import SHIPPED_CHECKPOINT, SHIPPED_CHECKPOINTS
from .modeling_maefuse import (
    ComparativeFusionModule,
    MaeFuseDecoder,
    MaeFuseModel,
    MaeFuseOutput,
    MergingFusionModule,
)
from .pipeline_maefuse import TASK, MaeFusePipeline

AutoConfig.register(MaeFuseConfig.model_type, MaeFuseConfig, exist_ok=True)
AutoModel.register(MaeFuseConfig, MaeFuseModel, exist_ok=True)
AutoImageProcessor.register(MaeFuseConfig, image_processor_classes={"pil": MaeFuseImageProcessor}, exist_ok=True)

# what they save brings its code along, for people without this package
MaeFuseConfig.register_for_auto_class()
MaeFuseModel.register_for_auto_class("AutoModel")
MaeFuseImageProcessor.register_for_auto_class()

PIPELINE_REGISTRY.register_pipeline(TASK, pipeline_class=MaeFusePipeline, pt_model=AutoModel, type="image")
# in the registry alone: with a default in the class, a saved pipeline would write this machine's path into config.json
PIPELINE_REGISTRY.supported_tasks[TASK] = {
    **PIPELINE_REGISTRY.supported_tasks[TASK],
    "default": {"model": (str(SHIPPED_CHECKPOINT), "main")},
}

__all__ = [
    "SHIPPED_CHECKPOINT",
    "SHIPPED_CHECKPOINTS",
    "ComparativeFusionModule",
    "MaeFuseConfig",
    "MaeFuseDecoder",
    "MaeFuseImageProcessor",
    "MaeFuseModel",
    "MaeFuseOutput",
    "MaeFusePipeline",
    "MergingFusionModule",
]
