"""The checkpoints that ship: pairs a second by precision and batch size, grey levels against the processor."""

import time
from collections.abc import Callable, Sequence
from functools import cache, lru_cache, partial

import torch
from torch import Tensor

from benchmarks.gpu.cases import BFLOAT16, FLOAT16, FLOAT32, TF32, Case, Inputs, Pair, Precision, Row, Setting
from benchmarks.timing import CPU, in_turns, matrix_product, medians, operations_of, operations_of_a_product
from maefuse_hf import MaeFuseImageProcessor, MaeFuseModel, tiles
from maefuse_hf.example_scene import render_example_pair
from maefuse_hf.inference import fuse_pair, load_checkpoint
from maefuse_hf.inference.pair_fusion import FOR_THE_MODEL

PRECISIONS = (FLOAT32, BFLOAT16, FLOAT16, TF32)
RENDERED = 2
"""So many unlike pairs fill a batch, again and again; to render one takes a second."""
TILES_AT_ONCE = (8, 32, 128)
TO_COMPILE = 45
"""Seconds."""


class Bench:
    """Models, inputs and references, each made when it is first needed."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        # one after the other, so that memory is of one alone
        self.loaded = lru_cache(maxsize=1)(self.load)
        self.pairs = cache(self.render)
        self.reference = cache(self.fuse_on_the_processor)

    def load(self, model: str, dtype: torch.dtype) -> tuple[MaeFuseModel, MaeFuseImageProcessor]:
        """A checkpoint that ships, on the device."""
        return load_checkpoint(model, str(self.setting.device), dtype)

    def render(self) -> list[Pair]:
        """Pairs of the setting's size."""
        width, height = self.setting.size
        return [render_example_pair(height, width, seed=seed) for seed in range(RENDERED)]

    def inputs(self, processor: MaeFuseImageProcessor, batch: int, device: torch.device) -> Inputs:
        """What the model takes of so many pairs, on a device."""
        made = [processor(*pair, return_tensors="pt") for pair in self.pairs()]
        return {
            name: torch.cat([made[number % RENDERED][name] for number in range(batch)]).to(device)
            for name in FOR_THE_MODEL
            if name in made[0]
        }

    def fuse_on_the_processor(self, model_name: str) -> Tensor:
        """Grey levels of the rendered pairs in float32 on the CPU."""
        model, processor = load_checkpoint(model_name, "cpu")
        with torch.inference_mode():
            return grey_levels(model(**self.inputs(processor, RENDERED, CPU)).fused)

    def timed(self, run: Callable[[], object]) -> float:
        """Median seconds of a run."""
        setting = self.setting
        seconds = in_turns({"run": run}, setting.rounds, warm_up=setting.warm_up, device=setting.device)
        return medians(seconds)["run"]

    def forward(self, model_name: str, precision: Precision, batch: int, model: MaeFuseModel | None = None) -> Row:
        """A call of the model as a user makes it, with a batch that lies on the device.

        Args:
            model_name: of a checkpoint that ships.
            precision: of its weights and products.
            batch: pairs.
            model: the checkpoint where something was done to it.
        """
        device = self.setting.device
        loaded, processor = self.loaded(model_name, precision.dtype)
        model = model or loaded
        inputs = self.inputs(processor, batch, device)
        row: Row = {"model": model_name, "precision": precision.name, "batch": batch}
        reference = self.reference(model_name)
        with precision.set(), torch.inference_mode():
            row["seconds"] = self.timed(lambda: model(**inputs))
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            fused = model(**inputs).fused
        row["peak bytes"] = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
        shown = min(batch, RENDERED)
        differences = (grey_levels(fused[:shown]) - reference[:shown]).abs()
        return row | {"levels, mean": differences.mean().item(), "levels, most": differences.max().item()}


def grey_levels(fused: Tensor) -> Tensor:
    """`(B, 1, H, W)` in [0, 1] to levels of 255 as an image has them, on the CPU."""
    return fused.float().mul(255).round().cpu()


def inference(setting: Setting) -> Sequence[Case]:
    """Products of matrices, then each checkpoint by precision and batch size, then pairs from image to image."""
    bench = Bench(setting)

    def products(precision: Precision) -> list[Row]:
        product = matrix_product(setting.matrix_side, setting.device, precision.dtype)
        with precision.set():
            rate = operations_of_a_product(setting.matrix_side) / bench.timed(product)
        return [{"precision": precision.name, "operations a second": rate}]

    def operations(model_name: str) -> list[Row]:
        model, processor = bench.loaded(model_name, torch.float32)
        inputs = bench.inputs(processor, 1, setting.device)
        return [{"model": model_name, "operations": operations_of(lambda: model(**inputs))}]

    def from_images(model_name: str, precision: Precision) -> list[Row]:
        model, processor = bench.loaded(model_name, precision.dtype)
        with precision.set():
            seconds = bench.timed(lambda: fuse_pair(model, processor, *bench.pairs()[0]))
        return [{"model": model_name, "precision": precision.name, "pair": seconds}]

    cases = [Case(f"products, {precision.name}", partial(products, precision)) for precision in PRECISIONS]
    for model in setting.models:
        cases.append(Case(f"operations of {model}", partial(operations, model)))
        for precision in PRECISIONS:
            for batch in setting.batches:
                measure = partial(bench.forward, model, precision, batch)
                cases.append(Case(f"{model}, {precision.name}, batch {batch}", partial(as_list, measure)))
    for model in setting.models:
        for precision in (FLOAT32, BFLOAT16, FLOAT16):
            name = f"{model}, {precision.name}, from images to image"
            cases.append(Case(name, partial(from_images, model, precision)))
    return cases


def as_list(measure: Callable[[], Row]) -> list[Row]:
    """One row."""
    return [measure()]


def tiles_at_once(setting: Setting) -> Sequence[Case]:
    """The largest batch by how many tiles are worked on together."""
    bench = Bench(setting)

    def measure(model: str, precision: Precision, count: int) -> list[Row]:
        before = tiles.tiles_at_once
        tiles.tiles_at_once = lambda device: count
        try:
            return [bench.forward(model, precision, max(setting.batches)) | {"tiles at once": count}]
        finally:
            tiles.tiles_at_once = before

    return [
        Case(f"{model}, {precision.name}, {count} tiles at once", partial(measure, model, precision, count))
        for model in setting.models
        for precision in (FLOAT32, BFLOAT16)
        for count in TILES_AT_ONCE
    ]


def compiled(setting: Setting) -> Sequence[Case]:
    """The network of the first checkpoint by `torch.compile`, beside the same without."""
    bench = Bench(setting)
    model_name, batch = setting.models[0], max(setting.batches)

    def measure() -> list[Row]:
        plain = bench.forward(model_name, BFLOAT16, batch)
        model, processor = bench.load(model_name, BFLOAT16.dtype)
        model.fuse_tiles = torch.compile(model.fuse_tiles, dynamic=False)
        inputs = bench.inputs(processor, batch, setting.device)
        started = time.perf_counter()
        with torch.inference_mode():
            grey_levels(model(**inputs).fused)
        first = time.perf_counter() - started
        faster = bench.forward(model_name, BFLOAT16, batch, model)
        return [plain | {"way": "as it is"}, faster | {"way": "compiled", "first call": first}]

    return [Case(f"{model_name}, {BFLOAT16.name}, batch {batch}, compiled", measure, needs=TO_COMPILE)]
