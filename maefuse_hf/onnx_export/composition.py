# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""What `MaeFuseModel.forward` does around the network, as ONNX: padding, tiles, coarse structure from the pair shrunk.

These are onnxscript functions: their bodies are compiled to ONNX operators. All sizes are computed inside the graph, so
that it takes images of any height and width. What PyTorch exports (`parts.py`) stands in them as an operator of the
domain `PARTS` until `assembly.py` puts it in.

A length alone is a scalar.
"""

# mypy: ignore-errors

from collections.abc import Sequence
from dataclasses import dataclass

from onnx import ModelProto
from onnxscript import BOOL, FLOAT, INT64, OnnxFunction, graph, script
from onnxscript import opset20 as op
from onnxscript.values import Opset

PARTS = "maefuse.parts"
"""The domain of the operators that stand for what PyTorch exports."""

WHOLE_IMAGE = 1 << 20
"""The side of a tile, in cells, that no image fills."""

parts = Opset(PARTS, 1)
here = Opset("maefuse", 1)

Images, Pairs, Luminance = FLOAT["B", "C", "H", "W"], FLOAT["B", 2, "H", "W"], FLOAT["B", 1, "H", "W"]
Lengths = INT64["count"]


@dataclass(frozen=True)
class Composition:
    """The numbers that the composition needs of a model's configuration.

    Args:
        patch_size: pixels of a cell.
        tile_size: cells of a tile's side; without it the whole image is one tile.
        tile_overlap: cells that neighbours share at least.
        coarse_factor: how many times smaller the pair is fused as well; without it, it is not.
    """

    patch_size: int
    tile_size: int | None
    tile_overlap: int
    coarse_factor: int | None


@script(here, default_opset=op)
def length_of(images: Images, axis: int):
    """How long images are along one axis."""
    return op.Squeeze(op.Gather(op.Shape(images), op.Constant(value_int=axis), axis=0))


@script(here, default_opset=op)
def whole_number_of(length: INT64, divisor: INT64):
    """The next multiple of a divisor."""
    return (length + divisor - 1) / divisor * divisor


@script(here, default_opset=op)
def rounded_ratio(counter: INT64, denominator: INT64):
    """`round(counter / denominator)`, halves to even, as Python has it."""
    ratio = op.Cast(counter, to=1) / op.Cast(denominator, to=1)
    return op.Cast(op.Round(ratio), to=7)


@script(here, default_opset=op)
def reflected(images: Images, length: INT64, axis: int):
    """Images made longer by reflection that does not repeat the edge, again and again where they are small."""
    last = length_of(images, axis=axis) - 1
    period = op.Max(2 * last, 1)
    place = op.Mod(op.Range(0, length, 1), period)
    return op.Gather(images, op.Min(place, period - place, last), axis=axis)


@script(here, default_opset=op)
def edge_repeated(images: Images, length: INT64, axis: int):
    """Images made longer by their last row or column."""
    last = length_of(images, axis=axis) - 1
    return op.Gather(images, op.Min(op.Range(0, length, 1), last), axis=axis)


@script(here, default_opset=op)
def count_of_tiles(length: INT64, side: INT64, overlap: INT64):
    """`tiles.cover`: how many tiles come nearest to a side."""
    return op.Max(rounded_ratio(length - overlap, op.Max(side - overlap, 1)), 1)


@script(here, default_opset=op)
def cover(length: INT64, side: INT64, overlap: INT64) -> tuple[Lengths, INT64]:
    """`tiles.cover`: where evenly spaced tiles begin, `(tiles,)`, and how long they are."""
    count = count_of_tiles(length, side, overlap)
    tile = op.Min(length, (length + (count - 1) * overlap + count - 1) / count)
    begins = rounded_ratio(op.Range(0, count, 1) * (length - tile), op.Max(count - 1, 1))
    return begins, tile


@script(here, default_opset=op)
def weight_at(own: Lengths, tile: INT64):
    """What a tile's pixels contribute: rising by one from its ends to its middle, nothing beyond."""
    return op.Cast(op.Max(op.Min(own + 1, tile - own), 0), to=1)


@script(here, default_opset=op)
def joined(maps: FLOAT, begins: Lengths, tile: INT64, length: INT64, axis: int):
    """`tiles.blended` along one axis: tiles of `tile` pixels one after the other to `length` pixels.

    No place lies in more than two tiles: the last one that begins before it, and the one before that.
    """
    place = op.Range(0, length, 1)
    began = op.Cast(op.Unsqueeze(begins, [1]) <= op.Unsqueeze(place, [0]), to=7)
    last = op.ReduceSum(began, [0], keepdims=0) - 1
    former = op.Max(last - 1, 0)
    own_of_last, own_of_former = place - op.Gather(begins, last), place - op.Gather(begins, former)
    of_last = weight_at(own_of_last, tile)
    of_former = weight_at(own_of_former, tile) * op.Cast(last > 0, to=1)
    total = of_last + of_former
    # shaped to the axes that follow
    shape = op.Where(op.Range(0, op.Squeeze(op.Shape(op.Shape(maps))), 1) == op.Constant(value_int=axis), -1, 1)
    last_maps = op.Gather(maps, last * tile + own_of_last, axis=axis)
    former_maps = op.Gather(maps, former * tile + op.Min(own_of_former, tile - 1), axis=axis)
    return last_maps * op.Reshape(of_last / total, shape) + former_maps * op.Reshape(of_former / total, shape)


@script(here, default_opset=op)
def shape4(first: INT64, second: INT64, third: INT64, fourth: INT64):
    """Four lengths as a shape."""
    return op.Concat(
        op.Unsqueeze(first, [0]), op.Unsqueeze(second, [0]), op.Unsqueeze(third, [0]), op.Unsqueeze(fourth, [0]), axis=0
    )


@script(here, default_opset=op)
def shape5(first: INT64, second: INT64, third: INT64, fourth: INT64, fifth: INT64):
    """Five lengths as a shape."""
    return op.Concat(shape4(first, second, third, fourth), op.Unsqueeze(fifth, [0]), axis=0)


@script(here, default_opset=op)
def network(tiles: Pairs, has_coarse: BOOL):
    """The network's maps of tiles."""
    return parts.Network(tiles)


@script(here, default_opset=op)
def network_in_levels(tiles: Images, has_coarse: BOOL):
    """The same of pairs with a third channel, whose coarse structure the decoded image gets where `has_coarse`."""
    maps = parts.Network(tiles[:, 0:2])
    decoded = maps[:, 0:1]
    taken = op.Where(has_coarse, parts.TakeCoarseStructure(decoded, tiles[:, 2:3]), decoded)
    return op.Concat(taken, maps[:, 1:], axis=1)


def through_tiles(work: OnnxFunction) -> OnnxFunction:
    """`work` on images of any size, a band of tiles at a time."""

    @script(here, default_opset=op)
    def in_tiles(images: Images, has_coarse: BOOL, patch: INT64, side: INT64, overlap: INT64):
        """Maps `(B, C, H, W)` of images, made a band of tiles at a time, so that memory grows with the width."""
        batch, channels = length_of(images, axis=0), length_of(images, axis=1)
        whole_height, whole_width = length_of(images, axis=2), length_of(images, axis=3)
        top_cells, rows = cover(whole_height / patch, side, overlap)
        left_cells, columns = cover(whole_width / patch, side, overlap)
        lefts, height, width = left_cells * patch, rows * patch, columns * patch
        count, rest = op.Size(lefts), op.Constant(value_int=-1)
        rows_of_tile = op.Range(0, height, 1)
        columns_of_tiles = op.Reshape(op.Unsqueeze(lefts, [1]) + op.Range(0, width, 1), [-1])
        strip_shape = shape5(batch, channels, height, count, width)
        tiles_shape = shape4(rest, channels, height, width)
        maps_shape = shape5(count, batch, rest, height, width)
        band_shape = shape4(batch, rest, height, count * width)

        @graph()
        def band(top: INT64) -> Images:
            """One row of tiles through the network."""
            strip = op.Gather(op.Gather(images, top + rows_of_tile, axis=2), columns_of_tiles, axis=3)
            tiles = op.Reshape(op.Transpose(op.Reshape(strip, strip_shape), perm=[3, 0, 1, 2, 4]), tiles_shape)
            maps = op.Transpose(op.Reshape(work(tiles, has_coarse), maps_shape), perm=[1, 2, 3, 0, 4])
            return joined(op.Reshape(maps, band_shape), lefts, width, whole_width, axis=3)

        bands = op.Scan(top_cells * patch, body=band, num_scan_inputs=1)
        stacked_shape = shape4(batch, rest, op.Size(top_cells) * height, whole_width)
        stacked = op.Reshape(op.Transpose(bands, perm=[1, 2, 0, 3, 4]), stacked_shape)
        return joined(stacked, top_cells * patch, height, whole_height, axis=2)

    return in_tiles


@script(here, default_opset=op)
def enlarged(images: Images, like: Images, factor: INT64):
    """`refinement.enlarged`: images larger, and without what lies beyond the size of others."""
    sizes = op.Concat(op.Shape(images, end=2), op.Shape(images, start=2) * factor, axis=0)
    larger = op.Resize(images, None, None, sizes, mode="linear", coordinate_transformation_mode="half_pixel")
    return op.Slice(larger, [0, 0], op.Shape(like, start=2), [2, 3])


@script(here, default_opset=op)
def shrunk(images: Images, patch: INT64, kernel: Sequence[int]):
    """`refinement.shrunk`, `to_whole_patches`: images smaller by means of areas, padded to whole patches."""
    small = op.AveragePool(images, kernel_shape=kernel, strides=kernel, ceil_mode=1)
    height, width = length_of(small, axis=2), length_of(small, axis=3)
    taller = edge_repeated(small, whole_number_of(height, patch), axis=2)
    return edge_repeated(taller, whole_number_of(width, patch), axis=3)


@script(here, default_opset=op)
def many_tiles(pair: Pairs, patch: INT64, side: INT64, overlap: INT64):
    """Whether there is more than one tile."""
    down = count_of_tiles(length_of(pair, axis=2) / patch, side, overlap)
    across = count_of_tiles(length_of(pair, axis=3) / patch, side, overlap)
    return down * across > 1


@script(here, default_opset=op)
def in_whole_patches(pair: Pairs, patch: INT64):
    """Pairs padded at the bottom and on the right, as `MaeFuseImageProcessor` does."""
    taller = reflected(pair, whole_number_of(length_of(pair, axis=2), patch), axis=2)
    return reflected(taller, whole_number_of(length_of(pair, axis=3), patch), axis=3)


@script(here, default_opset=op)
def refined(maps: Images, pair: Pairs):
    """What refinement makes of the network's maps of pairs that were padded."""
    return parts.Refine(op.Slice(maps, [0, 0], op.Shape(pair, start=2), [2, 3]), pair)


def composition(numbers: Composition) -> ModelProto:
    """The graph around the parts: `infrared`, `visible` and `fused`, all `(B, 1, H, W)` luminance in [0, 1].

    Its parts are `Network`, `(N, 2, h, w)` pairs to `(N, C, h, w)` maps, the first of which is decoded; `Refine`, maps
    and pairs to fused; under `coarse_factor` also `TakeCoarseStructure`, decoded and coarse of one size to decoded.
    """
    patch_size, tile_overlap = numbers.patch_size, numbers.tile_overlap
    tile_side = numbers.tile_size or WHOLE_IMAGE
    coarse_factor = numbers.coarse_factor or 1
    kernel = [coarse_factor] * 2
    in_tiles = through_tiles(network if numbers.coarse_factor is None else network_in_levels)

    @script(here, default_opset=op)
    def fuse(infrared: Luminance, visible: Luminance) -> Luminance:
        patch, side = op.Constant(value_int=patch_size), op.Constant(value_int=tile_side)
        pair = op.Concat(infrared, visible, axis=1)
        alone = op.Cast(0, to=9)
        maps = in_tiles(in_whole_patches(pair, patch), alone, patch, side, op.Constant(value_int=tile_overlap))
        fused = refined(maps, pair)
        return fused

    @script(here, default_opset=op)
    def fuse_in_levels(infrared: Luminance, visible: Luminance) -> Luminance:
        patch, side = op.Constant(value_int=patch_size), op.Constant(value_int=tile_side)
        overlap = op.Constant(value_int=tile_overlap)
        pair = op.Concat(infrared, visible, axis=1)
        padded = in_whole_patches(pair, patch)

        # how often the pair is shrunk until it is one tile
        levels = op.Constant(value_int=1)
        smallest = padded
        goes_on = many_tiles(padded, patch, side, overlap)
        while goes_on:
            smallest = shrunk(smallest, patch, kernel=kernel)
            goes_on = many_tiles(smallest, patch, side, overlap)
            levels = levels + 1

        maps = padded
        for level in range(levels):
            level_pair = padded
            for _ in range(levels - level - 1):
                level_pair = shrunk(level_pair, patch, kernel=kernel)
            if level > 0:
                coarse = enlarged(maps[:, 0:1], level_pair, op.Constant(value_int=coarse_factor))
            else:
                # the smallest level takes nothing, and any channel may stand there
                coarse = level_pair[:, 0:1]
            maps = in_tiles(op.Concat(level_pair, coarse, axis=1), level > 0, patch, side, overlap)

        fused = refined(maps, pair)
        return fused

    return (fuse if numbers.coarse_factor is None else fuse_in_levels).to_model_proto()
