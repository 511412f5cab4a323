"""What a pair costs with the published checkpoint of the paper's authors: by their procedure, and converted.

    python benchmarks/converted_model_speed.py [--size WIDTH HEIGHT] [--encoder_layers N] [--device D] [--cpu_time]

Builds random weights of the published sizes, takes turns between the ways, so that whatever else the machine does hits
all of them, and prints the median of each, from images to image, and the ratio to the first. Ratios hold beyond the
machine; seconds do not.

Their network is put together from the same weights as their code does it: one image after the other through the
encoder, explicit attention matrices, and in the fusion layer multi-head attention over a batch of one. Time is linear
in the encoder's blocks, so that two runs with few of them tell what all 24 take where a whole one takes too long.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor, nn
from tqdm import trange

from maefuse_hf import MaeFuseConfig, MaeFuseImageProcessor, MaeFuseModel
from maefuse_hf.configuration_maefuse import VIT_MAE_LARGE
from maefuse_hf.conversion.maefuse import FUSION_HEADS, image_processor
from maefuse_hf.example_scene import render_example_pair
from maefuse_hf.inference import fuse_pair
from maefuse_hf.modeling_maefuse import MaeFuseOutput

THEIR_SIDE = 640


class TheirNetwork(nn.Module):
    """A converted model that computes what the authors' code computes, in its order."""

    def __init__(self, model: MaeFuseModel) -> None:
        super().__init__()
        self.model = model
        width = model.config.encoder_config.hidden_size
        self.cross, self.merge = (nn.MultiheadAttention(width, FUSION_HEADS) for _ in range(2))

    @property
    def device(self) -> torch.device:
        return self.model.device

    def forward(self, infrared: Tensor, visible: Tensor, **others: object) -> MaeFuseOutput:
        model, grid = self.model, self.model.patch_grid(infrared)
        infrared_features, visible_features = model.placed(model.encode(infrared), model.encode(visible), grid)

        def attend(attention: nn.Module, query: Tensor, context: Tensor) -> Tensor:
            return attention(query, context, context)[0]

        contour = attend(self.cross, infrared_features, visible_features)
        contour = contour + attend(self.cross, visible_features, infrared_features)
        merged = attend(self.merge, contour, visible_features) + attend(self.merge, contour, infrared_features)
        merging = model.merging_fusion
        fused = model.decode(merging.norm(merged + merging.mlp(merged)), grid)
        return MaeFuseOutput(fused=fused.clamp(0, 1))


def published_sizes(
    attn_implementation: str, native: bool, encoder_layers: int
) -> tuple[MaeFuseModel, MaeFuseImageProcessor]:
    """A model as `maefuse convert` makes it of the published checkpoint, with random weights, and its processor."""
    sizes = MaeFuseConfig().encoder_config.to_dict() | {
        "image_size": THEIR_SIDE,
        "num_hidden_layers": encoder_layers,
    }
    config = MaeFuseConfig(
        encoder_config=sizes,
        use_cls_token=False,
        position_embedding="native",
        fusion_attention="pointwise",
        fusion_position_embedding=True,
        truncate_to_8_bit=not native,
    )
    config._attn_implementation = attn_implementation
    return MaeFuseModel(config).eval(), image_processor(config, native)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the published checkpoint's sizes, by three ways.")
    parser.add_argument("--size", type=int, nargs=2, default=(640, 480), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--encoder_layers", type=int, default=VIT_MAE_LARGE["num_hidden_layers"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument(
        "--cpu_time",
        action="store_true",
        help="count CPU seconds of this process, which other programs do not lengthen",
    )
    options = parser.parse_args()

    width, height = options.size
    clock = time.process_time if options.cpu_time else time.perf_counter
    pair = render_example_pair(height, width)
    explicit, processor = published_sizes("eager", False, options.encoder_layers)
    fused_kernel, _ = published_sizes("sdpa", False, options.encoder_layers)
    native, native_processor = published_sizes("sdpa", True, options.encoder_layers)
    ways: dict[str, tuple[Callable, MaeFuseImageProcessor]] = {
        f"their procedure, {THEIR_SIDE}×{THEIR_SIDE}": (TheirNetwork(explicit).to(options.device), processor),
        f"converted, {THEIR_SIDE}×{THEIR_SIDE}": (fused_kernel.to(options.device), processor),
        f"converted with --native, {width}×{height}": (native.to(options.device), native_processor),
    }

    def run(way: str) -> Image.Image:
        model, its_processor = ways[way]
        return fuse_pair(model, its_processor, *pair).image  # type: ignore[arg-type]

    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in trange(options.rounds, unit="round"):
        for way in ways:
            started = clock()
            run(way)
            seconds[way].append(clock() - started)
    parameters = native.num_parameters() / 1e6
    print(
        f"{options.device}, {torch.get_num_threads()} threads, {parameters:.0f} M parameters, pair of {width}×{height}"
    )
    print(f"| way | pair in {'CPU ' if options.cpu_time else ''}s | times the first |\n|---|---|---|")
    medians = {way: statistics.median(values) for way, values in seconds.items()}
    first = next(iter(medians.values()))
    for way, median in medians.items():
        print(f"| {way} | {median:.2f} | {first / median:.2f} |")


if __name__ == "__main__":
    main()
