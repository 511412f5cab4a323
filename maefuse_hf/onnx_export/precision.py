# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""The network in lower precision: float16, or eight bits in its matrix products."""

import ast
import logging
import tempfile
from pathlib import Path

import onnx
from onnx import ModelProto, NodeProto
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

PRODUCT = "MatMul"
KEPT = ("decoder", "merging_fusion")
"""Modules that stay in float32: what they round is a pixel soon, and the merging module has values far from zero."""

SCOPES = "pkg.torch.onnx.name_scopes"
"""Where PyTorch notes in which modules of the model an operator was."""


def in_float32(network: ModelProto) -> ModelProto:
    """As it is."""
    return network


def in_float16(network: ModelProto) -> ModelProto:
    """Weights and arithmetic in float16; what comes in and goes out stays float32."""
    copied = ModelProto()
    copied.CopyFrom(network)
    converted = OnnxModel(convert_float_to_float16(copied, keep_io_types=True))
    converted.topological_sort()  # the casts were put behind what needs them
    return converted.model


def in_int8(network: ModelProto) -> ModelProto:
    """Weights of matrix products in eight bits, with a scale and a zero for each output; activations are rounded while
    it runs. `KEPT` stays float32."""
    kept = [node.name for node in network.graph.node if node.op_type == PRODUCT and is_kept(node)]
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "network.onnx"
        logging.disable(logging.WARNING)  # it recommends shape inference, which weights need not
        try:
            quantize_dynamic(
                network,
                path,
                op_types_to_quantize=[PRODUCT],
                per_channel=True,
                # products of signed with unsigned bytes overflow on processors without VNNI
                weight_type=QuantType.QUInt8,
                nodes_to_exclude=kept,
                extra_options={"MatMulConstBOnly": True},
            )
        finally:
            logging.disable(logging.NOTSET)
        return onnx.load(path)


def is_kept(node: NodeProto) -> bool:
    """Whether an operator belongs to a module of `KEPT`."""
    scopes = next((entry.value for entry in node.metadata_props if entry.key == SCOPES), "[]")
    return any(name in scope.split(".") for scope in ast.literal_eval(scopes) for name in KEPT)
