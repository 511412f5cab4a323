"""A converted checkpoint of the paper's authors against their own procedure, with random weights of its sizes."""

from collections.abc import Sequence
from functools import cache, partial

from benchmarks.converted_model_speed import Way, ways_to_run
from benchmarks.gpu.cases import BFLOAT16, FLOAT32, TF32, Case, Pair, Precision, Row, Setting
from benchmarks.timing import in_turns, medians
from maefuse_hf.example_scene import render_example_pair
from maefuse_hf.inference.pair_fusion import outputs_of


def converted(setting: Setting) -> Sequence[Case]:
    """All ways in turns, in each precision: the network alone, and from images to image."""
    width, height = setting.size

    @cache
    def ways() -> dict[str, Way]:
        return ways_to_run(setting.size, setting.encoder_layers, setting.their_side, setting.device)

    @cache
    def pair() -> Pair:
        return render_example_pair(height, width)

    def seconds_of(runs: dict) -> dict[str, float]:
        return medians(in_turns(runs, setting.rounds, warm_up=setting.warm_up, device=setting.device))

    def measure(precision: Precision) -> list[Row]:
        networks, pairs = {}, {}
        for name, way in ways().items():
            way.network.to(precision.dtype)
            inputs = way.processor(*pair(), return_tensors="pt").to(setting.device)
            networks[name] = partial(outputs_of, way.network, [inputs])
            pairs[name] = partial(way.fuse, pair())
        with precision.set():
            alone = seconds_of(networks)
            whole = seconds_of(pairs)
        return [
            {"precision": precision.name, "way": name, "network": alone[name], "pair": whole[name]} for name in alone
        ]

    # the last one leaves the weights rounded
    return [Case(precision.name, partial(measure, precision)) for precision in (FLOAT32, TF32, BFLOAT16)]
