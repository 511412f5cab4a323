# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""MaeFuse: encode both images (Eq. 1), compare (CFM) and merge (MFM) their features (Eq. 2), decode (Eq. 3)."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AutoModel
from transformers import initialization as init
from transformers.utils.generic import can_return_tuple

from .configuration_maefuse import MaeFuseConfig
from .decoder import MaeFuseDecoder
from .fusion_attention import GlobalAttention, LocalAttention, PointwiseAttention
from .fusion_modules import ComparativeFusionModule, FusionAttention, MergingFusionModule
from .input_checks import check_attentions, check_inputs, content_size
from .losses import fusion_terms, require_fusion_terms, weighted_sum
from .merging_block import MergingBlock
from .model_output import FusedFeatures, MaeFuseOutput
from .patches import channels_to_luminance, normalized, patches_to_pixels
from .position_embedding import interpolate_position_embedding, sincos_position_embedding
from .pretrained_maefuse import MaeFusePreTrainedModel
from .refinement import (
    TRUST,
    enlarged,
    shrunk,
    source_weights,
    split_detail,
    take_coarse_structure,
    take_detail,
    to_whole_patches,
    with_contrast_of_decoded,
)
from .strategies import DEFAULT_CONTOUR, DEFAULT_FUSION, Contour, FusionStrategy, check_strategy
from .tiles import Maps, Tiles, covering_tiles, map_to_tokens, tokens_to_map

DECODED_ALONE = (0.0, 0.0, 1.0)
"""Source weights of what is the decoder's image alone."""


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
        output_features: bool = False,
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
            output_features: return the features as well. They take more memory than all else of a large image.
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
        if output_attentions and fusion != "mean":
            check_attentions(self.config, self.tiles(self.patch_grid(infrared)).count)
        if return_loss:
            require_fusion_terms(self.config.loss_weights)
        sizes = original_sizes if resized_sizes is None else resized_sizes
        content = None if sizes is None else content_size(infrared, sizes)

        joined = self.fuse_pair(infrared, visible, fusion, contour, output_attentions, output_features)
        decoded, trust = joined.pop("decoded"), joined.pop("trust", None)
        refined, weights = self.refine(decoded, trust, infrared, visible, content)
        loss = None
        if return_loss:
            loss = self.fusion_loss(decoded, infrared, visible)
            if weights is not None:
                loss = loss + self.fusion_loss(refined, infrared, visible)
        features = {name: map_to_tokens(joined.pop(name)) for name in list(joined) if name.endswith("_features")}
        by_head = self.config.fusion_num_attention_heads, -1
        attentions = {name: map_to_tokens(each).unflatten(2, by_head).transpose(1, 2) for name, each in joined.items()}
        return MaeFuseOutput(
            loss=loss,
            fused=refined.clamp(0, 1),
            decoded=decoded,
            trust=trust,
            source_weights=weights,
            attentions=attentions if output_attentions else None,
            **features,
        )

    def fuse_tiles(
        self,
        infrared: Tensor,
        visible: Tensor,
        fusion: FusionStrategy = DEFAULT_FUSION,
        contour: Contour = DEFAULT_CONTOUR,
        output_attentions: bool = False,
        output_features: bool = False,
    ) -> Maps:
        """Images within which all tokens see each other, through the whole model (paper, Fig. 2).

        Args:
            infrared, visible: `(B, 1, H, W)` luminance.
            others: as in `forward`.

        Returns:
            `decoded` `(B, 1, H, W)` and, where the decoder gives it, `trust` `(B, 2, H, W)`. Features, and attention
            weights under their modules' names, as maps `(B, C, rows, columns)` of patches, C the width of features, or
            heads times keys.
        """
        grid = self.patch_grid(infrared)
        # two slices, since `chunk` cannot be exported
        encoded = self.encode(torch.cat([infrared, visible]))  # Eq. 1
        infrared_features, visible_features = encoded[: len(infrared)], encoded[len(infrared) :]
        features = self.fuse_features(infrared_features, visible_features, grid, fusion, contour)  # Eq. 2
        decoded, trust = self.decode_with_trust(features.fused, grid)  # Eq. 3
        maps = {"decoded": decoded} if trust is None else {"decoded": decoded, "trust": trust}
        if output_features:
            by_name = {
                "contour_features": features.contour,
                "fused_features": features.fused,
                "infrared_features": infrared_features,
                "visible_features": visible_features,
            }
            maps |= {name: tokens_to_map(tokens, grid) for name, tokens in by_name.items() if tokens is not None}
        if output_attentions:
            weights = cast(dict[str, Tensor], features.attentions)
            maps |= {name: tokens_to_map(each.transpose(1, 2).flatten(2), grid) for name, each in weights.items()}
        return maps

    def in_tiles(self, work: Callable[..., Maps], *images: Tensor) -> Maps:
        """`(B, 1, H, W)` images through `work` in tiles, as maps of the whole."""
        tiles = self.tiles(self.patch_grid(images[0]))
        rows = list(
            tiles.through(work, lambda begin, end: [image[..., begin:end, :] for image in images], self.patch_size)
        )
        return {name: torch.cat(list(tiles.join_rows([row[name] for row in rows])), dim=-2) for name in rows[0]}

    def tiles(self, grid: tuple[int, int]) -> Tiles:
        """The tiles in which an image of `(rows, columns)` of patches is worked on: one, without `tile_size`."""
        return covering_tiles(grid, self.config.tile_size or max(grid), self.config.tile_overlap)

    def fuse_pair(
        self,
        infrared: Tensor,
        visible: Tensor,
        fusion: FusionStrategy = DEFAULT_FUSION,
        contour: Contour = DEFAULT_CONTOUR,
        output_attentions: bool = False,
        output_features: bool = False,
    ) -> Maps:
        """`(B, 1, H, W)` pairs of any size through the network in tiles: what `fuse_tiles` gives, of the whole.

        Several tiles have, under `coarse_factor`, the coarse structure of the pair that many times smaller. A tile
        alone cannot tell haze from a pale sky, and neighbours would come out in different brightness.
        """

        def fuse(infrared: Tensor, visible: Tensor, *coarse: Tensor) -> Maps:
            maps = self.fuse_tiles(infrared, visible, fusion, contour, output_attentions, output_features)
            return self.with_coarse_structure(maps, *coarse)

        factor = self.config.coarse_factor
        if factor is None or self.tiles(self.patch_grid(infrared)).count == 1:
            return self.in_tiles(fuse, infrared, visible)
        small = [to_whole_patches(shrunk(image, factor), self.patch_size) for image in (infrared, visible)]
        coarse = enlarged(self.fuse_pair(small[0], small[1], fusion, contour)["decoded"], factor)
        height, width = infrared.shape[-2:]
        return self.in_tiles(fuse, infrared, visible, coarse[..., :height, :width])

    def with_coarse_structure(self, maps: Maps, coarse: Tensor | None = None) -> Maps:
        """A tile's maps, its decoded image with the coarse structure of `(B, 1, h, w)` where there is any.

        Each tile takes it before they are joined: what two of them see differently leaves no soft border behind.
        """
        if coarse is None:
            return maps
        return maps | {"decoded": take_coarse_structure(maps["decoded"], coarse, self.config.coarse_sigma)}

    def reconstruct(self, images: Tensor) -> Tensor:
        """What encoder and decoder give back of `(B, 1, H, W)` luminance, in tiles as `forward`; not clipped."""

        def restore(images: Tensor) -> Maps:
            return {"decoded": self.decode(self.encode(images), self.patch_grid(images))}

        return self.in_tiles(restore, images)["decoded"]

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
        trust = None if logits is None else patches_to_pixels(logits, grid, self.patch_size)
        channels = patches_to_pixels(values, grid, self.patch_size)
        config = self.config
        luminance = channels_to_luminance(channels, config.image_mean, config.image_std, config.truncate_to_8_bit)
        return luminance, trust

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
        # pixels would lose digits under autocast
        with torch.autocast(decoded.device.type, enabled=False):
            images = torch.cat([infrared, visible, decoded], dim=1)[inside]
            coarse, details = split_detail(images, sigma)
            if config.detail_gain is not None:
                gained = with_contrast_of_decoded(
                    details[:, :2], images, sigma, config.detail_gain, config.detail_floor
                )
                details = torch.cat([gained, details[:, 2:]], dim=1)
            numbers = (config.detail_sharpness, config.detail_floor, config.detail_limit)
            agreement = (config.detail_agreement, config.detail_tolerance)
            inner = source_weights(trust[inside], details, sigma, *numbers, *agreement)
            refined, weights = decoded.clone(), inner.new_tensor(DECODED_ALONE).view(1, 3, 1, 1)
            weights = weights.repeat(len(decoded), 1, *decoded.shape[-2:])
            refined[inside], weights[inside] = take_detail(coarse[:, -1:], details, inner), inner
        return refined, weights

    def normalize(self, images: Tensor) -> Tensor:
        """`(B, 1, H, W)` luminance to `(B, channels, H, W)` encoder input in the weights' precision."""
        return normalized(images, self.config.image_mean, self.config.image_std).to(self.dtype)

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


__all__ = [
    "ComparativeFusionModule",
    "MaeFuseDecoder",
    "MaeFuseModel",
    "MaeFuseOutput",
    "MaeFusePreTrainedModel",
    "MergingFusionModule",
]
