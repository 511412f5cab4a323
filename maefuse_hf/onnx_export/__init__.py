"""A model as ONNX: `maefuse export onnx`. Needs the extra `maefuse-hf[onnx]`."""

from .export import PRECISIONS, export_onnx
from .fuse_with_onnxruntime import MaeFuseOnnx

__all__ = ["PRECISIONS", "MaeFuseOnnx", "export_onnx"]
