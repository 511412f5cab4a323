# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""MaeFuse: encode both images (Eq. 1), compare (CFM) and merge (MFM) their features (Eq. 2), decode (Eq. 3)."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel, ViTMAEModel
from transformers import initialization as init
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple

from .colour import BT601_LUMINANCE, WHITE
from .configuration_maefuse import MaeFuseConfig
from .decoder import MaeFuseDecoder
from .fusion_attention import GlobalAttention, LocalAttention, PointwiseAttention
from .fusion_modules import ComparativeFusionModule, FusionAttention, MergingFusionModule
from .input_checks import check_attentions, check_inputs, content_size
from .loading import load_encoder, readable_errors, refuse_incomplete
from .losses import fusion_terms, require_fusion_terms, weighted_sum
from .merging_block import MergingBlock
from .position_embedding import interpolate_position_embedding, sincos_position_embedding
from .refinement import TRUST, source_weights, take_coarse_structure, take_detail
from .strategies import DEFAULT_CONTOUR, DEFAULT_FUSION, Contour, FusionStrategy, check_strategy
from .tiles import Tiles, covering_tiles

DECODED_ALONE = (0.0, 0.0, 1.0)
"""Source weights of what is the decoder's image alone."""

TILES_AT_ONCE = 8
"""How many tiles of a pair go through the model together; bounds memory, not the result."""


@dataclass
class MaeFuseOutput(ModelOutput):
    """What [`MaeFuseModel`] returns. Tokens are in raster order, `tokens = (H / patch) * (W / patch)`;
    under `tile_size`, those of overlapping tiles are averaged, attention weights too.

    Args:
        loss (`Tensor` of shape `()`, with `return_loss=True`):
            The fusion loss as training minimises it: the terms that `loss_weights` of the configuration names (paper,
            Eq. 4), of `decoded` and, with `source_detail_sigma`, of the refined image too; both as they are unclipped.
        fused (`Tensor` of shape `(B, 1, H, W)`):
            Fused luminance in [0, 1], float32: `decoded`, refined where the configuration says so, and clipped.
        decoded (`Tensor` of shape `(B, 1, H, W)`):
            Eq. 3 as the network made it: luminance, float32, nominally in [0, 1] but not clipped. Under `coarse_factor`
            its coarse structure is that of the same pair shrunk.
        trust (`Tensor` of shape `(B, 2, H, W)`, with `source_detail_sigma` in the configuration):
            The decoder's logits: how far it trusts its own image beside both sources, and infrared beside visible.
        source_weights (`Tensor` of shape `(B, 3, H, W)`, with `source_detail_sigma` in the configuration):
            What infrared, visible and the decoded image contribute to fine detail; a sum of one at each pixel.
        contour_features (`Tensor` of shape `(B, tokens, hidden)`, with `fusion="cfm"` or `"mfm"`):
            Phi_D: the comparative module's output, or what `contour` put in its place.
        fused_features (`Tensor` of shape `(B, tokens, hidden)`):
            Phi_F, what the decoder saw.
        infrared_features, visible_features (`Tensor` of shape `(B, tokens, hidden)`):
            Phi_I and Phi_V, the encoder's output.
        attentions (`dict[str, Tensor]`, with `output_attentions=True`):
            Attention weights of the fusion modules that ran, `(B, heads, tokens, keys)`, under the names
            `infrared_to_visible` and `visible_to_infrared` (CFM), `contour_to_infrared` and `contour_to_visible` or,
            with `merging_joint_softmax`, `contour_to_both` (MFM; infrared's keys first).
    """

    loss: Tensor | None = None
    fused: Tensor | None = None
    decoded: Tensor | None = None
    trust: Tensor | None = None
    source_weights: Tensor | None = None
    contour_features: Tensor | None = None
    fused_features: Tensor | None = None
    infrared_features: Tensor | None = None
    visible_features: Tensor | None = None
    attentions: dict[str, Tensor] | None = None


class FusedFeatures(NamedTuple):
    """What the fusion modules make of two `(B, tokens, hidden)` features (Eq. 2)."""

    fused: Tensor
    """Phi_F, what the decoder sees."""
    contour: Tensor | None
    """Phi_D, where there is one."""
    attentions: dict[str, Tensor | None]
    """Attention weights of the modules that ran, by name."""


def truncated_to_8_bit(values: Tensor) -> Tensor:
    """Values clipped to [0, 1] and cut down to whole 255ths."""
    return (values * WHITE).clamp(0, WHITE).floor() / WHITE


class MaeFusePreTrainedModel(PreTrainedModel):
    """What transformers needs to know of MaeFuse models."""

    config: MaeFuseConfig
    config_class = MaeFuseConfig
    base_model_prefix = "maefuse"
    main_input_name = "infrared"
    input_modalities = ["image"]
    supports_gradient_checkpointing = True
    _no_split_modules = ["ViTMAEEmbeddings", "ViTMAELayer", "ComparativeFusionModule", "MergingFusionModule"]
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True


class MaeFuseModel(MaeFusePreTrainedModel):
    """Infrared and visible image fusion with a masked autoencoder (MaeFuse), of images of any size.

    Args:
        config ([`MaeFuseConfig`]): the architecture.
    """

    def __init__(self, config: MaeFuseConfig) -> None:
        super().__init__(config)
        encoder_config = config.encoder_config
        heads, intermediate_size = config.fusion_num_attention_heads, config.fusion_intermediate_size
        assert heads is not None and intermediate_size is not None  # the configuration fills them in
        hidden_size = encoder_config.hidden_size
        self.patch_size = encoder_config.patch_size

        def fusion_attention() -> FusionAttention:
            makers: dict[str, Callable[[], FusionAttention]] = {
                "global": lambda: GlobalAttention(hidden_size, heads, config),
                "local": lambda: LocalAttention(hidden_size, heads, config.fusion_window),
                "pointwise": lambda: PointwiseAttention(hidden_size),
            }
            return makers[config.fusion_attention]()

        self.encoder = AutoModel.from_config(encoder_config)
        self.comparative_fusion = ComparativeFusionModule(fusion_attention())
        self.merging_fusion = MergingFusionModule(
            fusion_attention(),
            hidden_size,
            intermediate_size,
            config.fusion_layer_norm_eps,
            config.merging_joint_softmax,
            [
                MergingBlock(hidden_size, heads, intermediate_size, config.fusion_layer_norm_eps, config)
                for _ in range(config.merging_blocks)
            ],
        )
        self.decoder = MaeFuseDecoder(
            hidden_size,
            config.decoder_hidden_size,
            config.decoder_num_hidden_layers,
            config.decoder_num_attention_heads,
            config.decoder_intermediate_size,
            encoder_config.num_channels * self.patch_size**2,
            config.decoder_position_embedding,
            config._attn_implementation,
            None if config.source_detail_sigma is None else len(TRUST) * self.patch_size**2,
        )
        self.post_init()
        self.freeze()

    @can_return_tuple
    def forward(
        self,
        infrared: Tensor,
        visible: Tensor,
        fusion: FusionStrategy = DEFAULT_FUSION,
        contour: Contour = DEFAULT_CONTOUR,
        output_attentions: bool = False,
        return_loss: bool = False,
        visible_rgb: Tensor | None = None,
        original_sizes: Tensor | None = None,
        resized_sizes: Tensor | None = None,
    ) -> MaeFuseOutput:
        """Fuse registered images.

        Args:
            infrared: `(B, 1, H, W)` luminance in [0, 1]; H and W multiples of the patch size.
            visible: the same for the visible images (Y of BT.601).
            fusion: what the decoder sees (paper, Fig. 1): the mean of both modalities' features, the comparative
                module's output, or the merging module's.
            contour: what guides the merging module (paper, section 4.4): the comparative module's output, or one
                modality's features in its place. Only with `fusion="mfm"`.
            output_attentions: return the fusion modules' attention weights. Global attention needs the model loaded
                with `attn_implementation="eager"`.
            return_loss: return the fusion loss as well, as training minimises it.
            visible_rgb: not used here, only by `post_process_image_fusion`; accepted so that `model(**inputs)` works.
            original_sizes, resized_sizes: `(B, 2)` height and width before padding, as the image processor gives them;
                the second, where it is there, is what the model works at. Refinement leaves the padding out. Without
                them all of H and W is content.

        Raises:
            ValueError: before any work, if the two shapes differ, a side is no multiple of the patch size, `fusion` or
                `contour` is unknown or does not fit the other, there are no attention weights to return, the sizes are
                not one size within the images, or `loss_weights` name no loss.
        """
        check_strategy(fusion, contour)
        check_inputs(infrared, visible, self.patch_size)
        tiles = self.tiles(infrared)
        if output_attentions and fusion != "mean":
            check_attentions(self.config, tiles.count)
        if return_loss:
            require_fusion_terms(self.config.loss_weights)
        sizes = original_sizes if resized_sizes is None else resized_sizes
        content = None if sizes is None else content_size(infrared, sizes)

        def fuse(infrared: Tensor, visible: Tensor) -> MaeFuseOutput:
            """Tiles within which all tokens see each other, through the whole model (paper, Fig. 2)."""
            grid = self.patch_grid(infrared)
            infrared_features, visible_features = self.encode(torch.cat([infrared, visible])).chunk(2)  # Eq. 1
            features = self.fuse_features(infrared_features, visible_features, grid, fusion, contour)  # Eq. 2
            decoded, trust = self.decode_with_trust(features.fused, grid)  # Eq. 3
            return MaeFuseOutput(
                decoded=decoded,
                trust=trust,
                contour_features=features.contour,
                fused_features=features.fused,
                infrared_features=infrared_features,
                visible_features=visible_features,
                attentions=cast(dict[str, Tensor], features.attentions) if output_attentions else None,
            )

        joined = self.joined(tiles, [fuse(*pair) for pair in self.in_tiles(tiles, infrared, visible)])
        decoded = cast(Tensor, joined.decoded)
        if self.config.coarse_factor is not None and tiles.count > 1:
            # a tile alone cannot tell haze from a pale sky, and neighbours would come out in different brightness
            factor = self.config.coarse_factor
            coarse = self(*self.shrunk(factor, infrared, visible), fusion=fusion, contour=contour).decoded
            decoded = take_coarse_structure(decoded, coarse, factor, self.config.coarse_sigma)
        refined, weights = self.refine(decoded, joined.trust, infrared, visible, content)
        loss = None
        if return_loss:
            loss = self.fusion_loss(decoded, infrared, visible)
            if weights is not None:
                loss = loss + self.fusion_loss(refined, infrared, visible)
        whole = {"loss": loss, "fused": refined.clamp(0, 1), "decoded": decoded, "source_weights": weights}
        return MaeFuseOutput(**{**joined, **whole})

    def shrunk(self, factor: int, *images: Tensor) -> list[Tensor]:
        """`(B, 1, H, W)` images `factor` times smaller, by means of areas, padded to whole patches."""
        small = [nn.functional.avg_pool2d(image, factor, ceil_mode=True) for image in images]
        bottom, right = (-side % self.patch_size for side in small[0].shape[-2:])
        return [nn.functional.pad(image, (0, right, 0, bottom), mode="replicate") for image in small]

    def tiles(self, images: Tensor) -> Tiles:
        """The tiles in which `(B, 1, H, W)` images go through the model: one, without `tile_size`."""
        grid = self.patch_grid(images)
        return covering_tiles(grid, self.config.tile_size or max(grid), self.config.tile_overlap)

    def in_tiles(self, tiles: Tiles, *images: Tensor) -> list[tuple[Tensor, ...]]:
        """The tiles of several `(B, 1, H, W)` in batches; images of one tile stay in the batch they are in."""
        parts = [tiles.cut(image, self.patch_size) for image in images]
        at_once = TILES_AT_ONCE if tiles.count > 1 else len(parts[0])
        return list(zip(*(part.split(at_once) for part in parts)))

    def joined(self, tiles: Tiles, parts: list[MaeFuseOutput]) -> MaeFuseOutput:
        """What the model made of tiles, in batches, as one output of whole images."""
        whole: dict[str, Any] = {}
        for name in parts[0]:
            if name in ("decoded", "trust"):
                whole[name] = tiles.join(torch.cat([part[name] for part in parts]), self.patch_size)
            elif name.endswith("_features"):
                whole[name] = tiles.join_tokens(torch.cat([part[name] for part in parts]))
        if parts[0].attentions is not None:
            whole["attentions"] = {}
            for name in parts[0].attentions:
                weights = torch.cat([part["attentions"][name] for part in parts])
                by_token = tiles.join_tokens(weights.transpose(1, 2).flatten(2))
                whole["attentions"][name] = by_token.unflatten(2, weights.shape[1::2]).transpose(1, 2)
        return MaeFuseOutput(**whole)

    def reconstruct(self, images: Tensor) -> Tensor:
        """What encoder and decoder give back of `(B, 1, H, W)` luminance, in tiles as `forward`; not clipped."""
        tiles = self.tiles(images)
        decoded = [self.decode(self.encode(part), self.patch_grid(part)) for (part,) in self.in_tiles(tiles, images)]
        return tiles.join(torch.cat(decoded), self.patch_size)

    def encode(self, images: Tensor) -> Tensor:
        """`Phi = E(image)` (Eq. 1): the plain ViTMAE encoder over all patches, in raster order, without masking.

        All tokens attend to each other here, as in `decode`; under `tile_size`, `forward` calls both with one
        tile at a time.

        Args:
            images: `(B, 1, H, W)` luminance in [0, 1].

        Returns:
            `(B, tokens, hidden)` features of the patches, after the encoder's last norm.
        """
        embeddings = self.encoder.embeddings
        cls_position, patch_positions = embeddings.position_embeddings.split(
            [1, embeddings.position_embeddings.shape[1] - 1], dim=1
        )
        if self.config.position_embedding == "native":
            patch_positions = sincos_position_embedding(*self.patch_grid(images), patch_positions.shape[-1])
        else:
            patch_positions = interpolate_position_embedding(patch_positions, *self.patch_grid(images))

        tokens = embeddings.patch_embeddings(self.normalize(images))
        tokens = tokens + patch_positions.to(tokens)
        if self.config.use_cls_token:
            cls_token = (embeddings.cls_token + cls_position).expand(len(tokens), -1, -1)
            tokens = torch.cat([cls_token, tokens], dim=1)
        for layer in self.encoder.layers:
            tokens = layer(tokens)
        tokens = self.encoder.layernorm(tokens)
        return tokens[:, 1:] if self.config.use_cls_token else tokens

    def fuse_features(
        self,
        infrared_features: Tensor,
        visible_features: Tensor,
        grid: tuple[int, int],
        fusion: FusionStrategy = DEFAULT_FUSION,
        contour: Contour = DEFAULT_CONTOUR,
    ) -> FusedFeatures:
        """Eq. 2, or one of its parts: two `(B, tokens, hidden)` to what the decoder sees.

        Args:
            infrared_features, visible_features: Phi_I and Phi_V.
            grid: `(rows, columns)` of patches.
            fusion, contour: as in `forward`.
        """
        if fusion == "mean":
            return FusedFeatures((infrared_features + visible_features) / 2, None, {})
        if contour == "cfm":
            contour_features, attentions = self.compare(infrared_features, visible_features, grid)
        else:
            contour_features, attentions = infrared_features if contour == "infrared" else visible_features, {}
        if fusion == "cfm":
            return FusedFeatures(contour_features, contour_features, attentions)
        fused_features, of_merging = self.merge(infrared_features, visible_features, contour_features, grid)
        return FusedFeatures(fused_features, contour_features, attentions | of_merging)

    def compare(
        self, infrared_features: Tensor, visible_features: Tensor, grid: tuple[int, int]
    ) -> tuple[Tensor, dict[str, Tensor | None]]:
        """`Phi_D = C(Phi_I, Phi_V)` (Eq. 2): two `(B, tokens, hidden)` to one, and the attention weights by name."""
        infrared_features, visible_features = self.placed(infrared_features, visible_features, grid)
        return self.comparative_fusion(infrared_features, visible_features, grid=grid)

    def merge(
        self, infrared_features: Tensor, visible_features: Tensor, contour_features: Tensor, grid: tuple[int, int]
    ) -> tuple[Tensor, dict[str, Tensor | None]]:
        """`Phi_F = M(Phi_I, Phi_V, Phi_D)` (Eq. 2): three `(B, tokens, hidden)` to one, and the weights by name."""
        infrared_features, visible_features = self.placed(infrared_features, visible_features, grid)
        return self.merging_fusion(infrared_features, visible_features, contour_features, grid=grid)

    def placed(
        self, infrared_features: Tensor, visible_features: Tensor, grid: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Both `(B, tokens, hidden)` as fusion takes them: positions added under `fusion_position_embedding`."""
        if not self.config.fusion_position_embedding:
            return infrared_features, visible_features
        positions = sincos_position_embedding(*grid, infrared_features.shape[-1]).to(infrared_features)
        return infrared_features + positions, visible_features + positions

    def decode(self, features: Tensor, grid: tuple[int, int]) -> Tensor:
        """`F = D(Phi)` (Eq. 3).

        Args:
            features: `(B, rows * columns, hidden)`.
            grid: `(rows, columns)` of patches.

        Returns:
            `(B, 1, rows * patch, columns * patch)` float32 luminance, nominally in [0, 1] but not clipped, so that a
            loss has a gradient everywhere.
        """
        return self.decode_with_trust(features, grid)[0]

    def decode_with_trust(self, features: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
        """As `decode`, and the trust `(B, 2, rows * patch, columns * patch)` under `source_detail_sigma`."""
        values, logits = self.decoder(features, grid)
        trust = None if logits is None else self.to_pixels(logits, grid)
        return self.to_luminance(self.to_pixels(values, grid)), trust

    def to_pixels(self, patches: Tensor, grid: tuple[int, int]) -> Tensor:
        """`(B, rows * columns, patch * patch * C)` to float32 `(B, C, rows * patch, columns * patch)`."""
        patches = patches.float().unflatten(1, grid).unflatten(-1, (self.patch_size, self.patch_size, -1))
        return patches.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)

    def to_luminance(self, channels: Tensor) -> Tensor:
        """Channels normalised as the encoder's input to `(B, 1, H, W)` luminance."""
        channels = channels * self.channel_statistic(self.config.image_std, channels)
        channels = channels + self.channel_statistic(self.config.image_mean, channels)
        if self.config.truncate_to_8_bit:
            # the gradient passes as if nothing had been cut
            channels = channels + (truncated_to_8_bit(channels) - channels).detach()
        if channels.shape[1] == 1:
            return channels
        return (channels * self.channel_statistic(BT601_LUMINANCE, channels)).sum(dim=1, keepdim=True)

    def refine(
        self,
        decoded: Tensor,
        trust: Tensor | None,
        infrared: Tensor,
        visible: Tensor,
        content: tuple[int, int] | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """The decoder's image with fine detail of the images that it trusts (`refinement.py`); without trust as it
        came.

        Args:
            decoded, infrared, visible: `(B, 1, H, W)` luminance.
            trust: `(B, 2, H, W)` logits.
            content: height and width of what is no padding; all of it without them.

        Returns:
            `(B, 1, H, W)` float32 luminance, not clipped, and `(B, 3, H, W)` weights of the three images. Padding is as
            it came from the decoder.
        """
        config, sigma = self.config, self.config.source_detail_sigma
        if trust is None or sigma is None:
            return decoded, None
        height, width = content or decoded.shape[-2:]
        inside = (..., slice(height), slice(width))
        sources = infrared[inside], visible[inside]
        numbers = (config.detail_sharpness, config.detail_floor)
        inner = source_weights(trust[inside], *sources, sigma, *numbers, limit=config.detail_limit)
        refined, weights = decoded.clone(), inner.new_tensor(DECODED_ALONE).view(1, 3, 1, 1)
        weights = weights.repeat(len(decoded), 1, *decoded.shape[-2:])
        refined[inside], weights[inside] = take_detail(decoded[inside], inner, *sources, sigma), inner
        return refined, weights

    def normalize(self, images: Tensor) -> Tensor:
        """`(B, 1, H, W)` luminance to `(B, channels, H, W)` encoder input: repeated, centred and scaled."""
        channels = images.float().expand(-1, self.config.encoder_config.num_channels, -1, -1)
        channels = channels - self.channel_statistic(self.config.image_mean, channels)
        return (channels / self.channel_statistic(self.config.image_std, channels)).to(self.dtype)

    def channel_statistic(self, values: tuple[float, ...] | list[float], like: Tensor) -> Tensor:
        """One number for each channel as `(1, channels, 1, 1)`, dtype and device of `like`."""
        return torch.tensor(values, dtype=like.dtype, device=like.device).view(1, -1, 1, 1)

    def patch_grid(self, images: Tensor) -> tuple[int, int]:
        """`(rows, columns)` of patches of `(B, 1, H, W)` images."""
        return images.shape[-2] // self.patch_size, images.shape[-1] // self.patch_size

    def fusion_loss(self, fused: Tensor, infrared: Tensor, visible: Tensor) -> Tensor:
        """The terms that `loss_weights` names (Eq. 4), weighted, of `(B, 1, H, W)` luminance; a scalar."""
        weights = self.config.loss_weights
        # differences of neighbouring pixels need all their digits
        with torch.autocast(fused.device.type, enabled=False):
            terms = fusion_terms(fused, infrared.float(), visible.float(), weights)
            return weighted_sum(terms, weights)

    def freeze(self) -> None:
        """Take the gradient from what is never trained: fixed positions, and the encoder with `freeze_encoder`."""
        self.encoder.embeddings.position_embeddings.requires_grad_(False)
        if self.config.freeze_encoder:
            self.encoder.requires_grad_(False)
            self.encoder.train(False)

    def train(self, mode: bool = True) -> "MaeFuseModel":
        """Set training mode; a frozen encoder stays frozen and in evaluation mode (`from_pretrained` ends here too)."""
        super().train(mode)
        self.freeze()
        return self

    @torch.no_grad()
    def initialize_weights(self) -> None:
        super().initialize_weights()
        # transformers leaves the fixed positions of an encoder made from nothing at zero
        positions = self.encoder.embeddings.position_embeddings
        side = self.config.encoder_config.image_size // self.patch_size
        patch_positions = sincos_position_embedding(side, side, positions.shape[-1])
        init.copy_(positions, nn.functional.pad(patch_positions, (0, 0, 1, 0))[None])

    def set_attn_implementation(self, attn_implementation: str | dict, *args: Any, **kwargs: Any) -> None:
        super().set_attn_implementation(attn_implementation, *args, **kwargs)
        self.decoder.block_config._attn_implementation = self.config._attn_implementation

    def get_input_embeddings(self) -> nn.Module:
        return self.encoder.embeddings.patch_embeddings

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """Load a saved MaeFuse, strictly; arguments as in `PreTrainedModel.from_pretrained`.

        Raises:
            ValueError: if the checkpoint lacks weights, has others or has them in other sizes; all are listed.
            OSError: if there is no such checkpoint, or its weights are damaged or no safetensors.
        """
        return_info = kwargs.pop("output_loading_info", False)
        # a pickle could run code, and no MaeFuse was ever saved as one
        fixed = {"output_loading_info": True, "ignore_mismatched_sizes": True, "use_safetensors": True}
        with readable_errors(pretrained_model_name_or_path):
            loaded = super().from_pretrained(pretrained_model_name_or_path, *args, **{**kwargs, **fixed})
        model, info = cast(tuple[MaeFuseModel, dict[str, Any]], loaded)
        refuse_incomplete(f"{pretrained_model_name_or_path} as a {cls.__name__}", info, allowed_prefix=None)
        return (model, info) if return_info else model

    @classmethod
    def from_encoder_pretrained(
        cls, pretrained_encoder: str | os.PathLike[str], **config_fields: Any
    ) -> "MaeFuseModel":
        """A MaeFuse around a pretrained masked autoencoder, with fresh fusion modules and decoder to be trained.

        Args:
            pretrained_encoder: folder or Hub name of a `ViTMAEModel` or `ViTMAEForPreTraining`, such as
                `"facebook/vit-mae-large"`. The mean and standard deviation of its `preprocessor_config.json` become
                the model's; without that file, ImageNet's.
            config_fields: fields of [`MaeFuseConfig`].

        Raises:
            ValueError: if the checkpoint lacks encoder weights, is another model or a `.pth` file, or a config field
                does not fit.
            OSError: if there is no such checkpoint.
        """
        encoder, statistics = load_encoder(pretrained_encoder)
        return cls.from_encoder(encoder, **{**statistics, **config_fields})

    @classmethod
    def from_encoder(cls, encoder: ViTMAEModel, **config_fields: Any) -> "MaeFuseModel":
        """A MaeFuse with the weights of this encoder; `config_fields` as in `from_encoder_pretrained`."""
        config = cls.config_class(encoder_config=encoder.config, **config_fields)
        model = cls(config)
        model.encoder.load_state_dict(encoder.state_dict())
        return model


__all__ = [
    "ComparativeFusionModule",
    "MaeFuseDecoder",
    "MaeFuseModel",
    "MaeFuseOutput",
    "MaeFusePreTrainedModel",
    "MergingFusionModule",
]
