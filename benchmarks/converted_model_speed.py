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
import copy
import time
from dataclasses import dataclass
from functools import partial

import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.timing import in_turns, medians
from maefuse_hf import MaeFuseConfig, MaeFuseImageProcessor, MaeFuseModel
from maefuse_hf.configuration_maefuse import VIT_MAE_LARGE
from maefuse_hf.conversion.maefuse import FUSION_HEADS, image_processor
from maefuse_hf.evaluation import as_markdown, table_of
from maefuse_hf.example_scene import render_example_pair
from maefuse_hf.inference import FusedPair, fuse_pair
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


@dataclass(frozen=True)
class Way:
    """A network and its processor."""

    network: MaeFuseModel | TheirNetwork
    processor: MaeFuseImageProcessor

    def fuse(self, pair: tuple[Image.Image, Image.Image]) -> FusedPair:
        """Fuse a pair of images."""
        return fuse_pair(self.network, self.processor, *pair)  # type: ignore[arg-type]


def published_sizes(encoder_layers: int, side: int) -> MaeFuseModel:
    """A model as `maefuse convert` makes it of the published checkpoint, with random weights."""
    sizes = MaeFuseConfig().encoder_config.to_dict() | {"image_size": side, "num_hidden_layers": encoder_layers}
    config = MaeFuseConfig(
        encoder_config=sizes,
        use_cls_token=False,
        position_embedding="native",
        fusion_attention="pointwise",
        fusion_position_embedding=True,
        truncate_to_8_bit=True,
    )
    return MaeFuseModel(config).eval()


def ways_to_run(
    size: tuple[int, int],
    encoder_layers: int = VIT_MAE_LARGE["num_hidden_layers"],
    side: int = THEIR_SIDE,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> dict[str, Way]:
    """The three ways by name, of the same random weights.

    Args:
        size: width and height of the pair, for the name of the last.
        encoder_layers: of the encoder.
        side: what the authors' procedure stretches images to, in pixels.
        device, dtype: of the weights.
    """
    converted = published_sizes(encoder_layers, side)
    native = copy.deepcopy(converted)
    native.config.truncate_to_8_bit = False
    explicit = copy.deepcopy(converted)
    explicit.set_attn_implementation("eager")
    width, height = size
    networks: dict[str, tuple[MaeFuseModel | TheirNetwork, bool]] = {
        f"their procedure, {side}×{side}": (TheirNetwork(explicit).eval(), False),
        f"converted, {side}×{side}": (converted, False),
        f"converted with --native, {width}×{height}": (native, True),
    }
    return {
        name: Way(network.to(device, dtype), image_processor(converted.config, is_native))
        for name, (network, is_native) in networks.items()
    }


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
    pair = render_example_pair(height, width)
    ways = ways_to_run(options.size, options.encoder_layers, device=options.device)
    seconds = in_turns(
        {name: partial(way.fuse, pair) for name, way in ways.items()},
        options.rounds,
        clock=time.process_time if options.cpu_time else time.perf_counter,
        progress="fusing",
    )
    *_, native = ways.values()
    parameters = native.network.num_parameters() / 1e6
    print(
        f"{options.device}, {torch.get_num_threads()} threads, {parameters:.0f} M parameters, pair of {width}×{height}"
    )
    taken = medians(seconds)
    first = next(iter(taken.values()))
    rows = [[name, f"{median:.2f}", f"{first / median:.2f}"] for name, median in taken.items()]
    print(as_markdown(table_of(["way", f"pair in {'CPU ' if options.cpu_time else ''}s", "times the first"], rows)))


if __name__ == "__main__":
    main()
