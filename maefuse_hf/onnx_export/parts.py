# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""The parts of the model that PyTorch exports: the network, what takes coarse structure, and refinement."""

import logging
import warnings
from typing import Any

import numpy as np
import torch
from onnx import ModelProto, TensorProto, numpy_helper
from torch import Tensor, nn
from torch.export import Dim

from ..modeling_maefuse import MaeFuseModel
from ..refinement import take_coarse_structure

OPSET = 20
"""Version of ONNX's operators: the first with GELU."""

EXAMPLE_IMAGES, EXAMPLE_CELLS = 3, (3, 5)
"""How many images are traced, and how many cells high and wide they are; the graph takes any number and size."""

MOST_IMAGES, MOST_CELLS = 1 << 16, 1 << 12
"""Bounds that PyTorch's exporter asks for; nothing in the graph depends on them."""


class Network(nn.Module):
    """Pairs through the whole network (paper, Fig. 2).

    `(N, 2, h, w)` infrared and visible luminance, sides multiples of the patch size, to `(N, C, h, w)` maps: the
    decoded image, and the trust where the model has it.
    """

    def __init__(self, model: MaeFuseModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, pairs: Tensor) -> Tensor:
        return torch.cat(list(self.model.fuse_tiles(pairs[:, :1], pairs[:, 1:]).values()), dim=1)


class TakeCoarseStructure(nn.Module):
    """`take_coarse_structure` with a model's number: two `(B, 1, H, W)` to one."""

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, decoded: Tensor, coarse: Tensor) -> Tensor:
        return take_coarse_structure(decoded, coarse, self.sigma)


class Refine(nn.Module):
    """`MaeFuseModel.refine`, clipped: `(B, C, H, W)` maps and `(B, 2, H, W)` pairs to `(B, 1, H, W)` luminance."""

    def __init__(self, model: MaeFuseModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, maps: Tensor, pairs: Tensor) -> Tensor:
        trust = maps[:, 1:] if maps.shape[1] > 1 else None
        return self.model.refine(maps[:, :1], trust, pairs[:, :1], pairs[:, 1:])[0].clamp(0, 1)


def export_network(model: MaeFuseModel) -> ModelProto:
    """The network, as `Network`."""
    rows, columns = (cells * model.patch_size for cells in EXAMPLE_CELLS)
    pairs = torch.rand(EXAMPLE_IMAGES, 2, rows, columns)
    return exported(Network(model), [pairs], [whole_cells(model.patch_size)])


def export_surroundings(model: MaeFuseModel) -> dict[str, ModelProto]:
    """What stands around the network, by the names that `composition.py` has for it."""
    rows, columns = (cells * model.patch_size for cells in EXAMPLE_CELLS)
    pairs = torch.rand(EXAMPLE_IMAGES, 2, rows, columns)
    with torch.no_grad():
        maps = Network(model)(pairs)
    pixels = {0: Dim("images", max=MOST_IMAGES)}
    pixels |= {axis: Dim(name, max=MOST_CELLS * model.patch_size) for axis, name in ((2, "rows"), (3, "columns"))}
    parts = {"Refine": exported(Refine(model), [maps, pairs], [pixels, pixels])}
    if model.config.coarse_factor is not None:
        part, decoded = TakeCoarseStructure(model.config.coarse_sigma), maps[:, :1].clone()
        sizes = [whole_cells(model.patch_size)] * 2
        parts["TakeCoarseStructure"] = exported(part, [decoded, torch.rand_like(decoded)], sizes)
    return parts


def whole_cells(patch_size: int) -> dict[int, Any]:
    """That images are of any number, and of any size of whole cells."""
    rows, columns = (Dim(name, max=MOST_CELLS) for name in ("cell_rows", "cell_columns"))
    return {0: Dim("images", max=MOST_IMAGES), 2: patch_size * rows, 3: patch_size * columns}


def exported(part: nn.Module, example: list[Tensor], sizes: list[dict[int, Any]]) -> ModelProto:
    """One part as ONNX; `sizes` says which lengths of the example may be others."""
    noisy = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = noisy.level
    with torch.no_grad(), warnings.catch_warnings():
        # what PyTorch says to itself: deprecations in its own code, an optional package that is not there
        warnings.simplefilter("ignore")
        noisy.setLevel(logging.ERROR)
        try:
            # strict: otherwise `len` of a tensor becomes the example's
            program = torch.export.export(part.eval(), tuple(example), dynamic_shapes=tuple(sizes), strict=True)
            result = torch.onnx.export(program, dynamo=True, opset_version=OPSET, verbose=False)
        finally:
            noisy.setLevel(level)
    assert result is not None
    return in_single_precision(result.model_proto)


def in_single_precision(model: ModelProto) -> ModelProto:
    """The same graph with float32 where PyTorch has float64, for sin-cos positions: browsers' runtimes lack it."""
    for initializer in model.graph.initializer:
        if initializer.data_type == TensorProto.DOUBLE:
            values = numpy_helper.to_array(initializer).astype(np.float32)
            initializer.CopyFrom(numpy_helper.from_array(values, initializer.name))
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.i == TensorProto.DOUBLE:
                attribute.i = TensorProto.FLOAT
            elif attribute.t.data_type == TensorProto.DOUBLE:
                attribute.t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(attribute.t).astype(np.float32)))
    del model.graph.value_info[:]
    return model
