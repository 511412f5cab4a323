# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""MaeFuse: encode both images (Eq. 1), compare (CFM) and merge (MFM) their features (Eq. 2), decode (Eq. 3)."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import torch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel, ViTMAEConfig, ViTMAEModel
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.vit_mae.modeling_vit_mae import ViTMAELayer, eager_attention_forward
from transformers.utils import ModelOutput, cached_file
from transformers.utils.generic import can_return_tuple

from .colour import BT601_LUMINANCE, WHITE
from .configuration_maefuse import MaeFuseConfig
from .contrast import with_restored_contrast
from .detail import with_own_detail
from .fusion_attention import GlobalAttention, LocalAttention, PointwiseAttention
from .losses_maefuse import gradient_loss, intensity_loss
from .position_embedding import interpolate_position_embedding, sincos_position_embedding
from .tiles import Tiles, covering_tiles

TILES_AT_ONCE = 8
"""How many tiles of a pair go through the model together; bounds memory, not the result."""

TILE_OVERLAP = 2
"""How many tokens neighbouring tiles share at least, over which their images are blended."""

CHECKPOINT_SUFFIXES = {".pth", ".pt"}

FusionAttention: TypeAlias = GlobalAttention | LocalAttention | PointwiseAttention


@dataclass
class MaeFuseOutput(ModelOutput):
    """What [`MaeFuseModel`] returns. Tokens are in raster order, `tokens = (H / patch) * (W / patch)`;
    under `tile_size`, those of overlapping tiles are averaged, attention weights too.

    Args:
        loss (`Tensor` of shape `()`, with `return_loss=True`):
            The fusion loss (paper, Eq. 4).
        fused (`Tensor` of shape `(B, 1, H, W)`):
            Fused luminance in [0, 1], float32.
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
    contour_features: Tensor | None = None
    fused_features: Tensor | None = None
    infrared_features: Tensor | None = None
    visible_features: Tensor | None = None
    attentions: dict[str, Tensor] | None = None


@dataclass
class FusedTile:
    """What the modules make of one tile of a pair: the decoder's image, tokens and attention weights by name."""

    decoded: Tensor
    features: dict[str, Tensor]
    attentions: dict[str, Tensor | None]


class ComparativeFusionModule(GradientCheckpointingLayer):
    """CFM, `Phi_D = C(Phi_I, Phi_V)` (Eq. 2): one cross-attention, shared by both directions, summed."""

    def __init__(self, cross_attention: FusionAttention) -> None:
        super().__init__()
        self.cross_attention = cross_attention

    def forward(
        self, infrared_features: Tensor, visible_features: Tensor, grid: tuple[int, int], attend: Callable
    ) -> tuple[Tensor, dict[str, Tensor | None]]:
        """Two `(B, tokens, hidden)` to Phi_D of the same shape, and the attention weights by name."""
        from_visible, to_visible = self.cross_attention(infrared_features, visible_features, grid=grid, attend=attend)
        from_infrared, to_infrared = self.cross_attention(visible_features, infrared_features, grid=grid, attend=attend)
        weights = {"infrared_to_visible": to_visible, "visible_to_infrared": to_infrared}
        return from_visible + from_infrared, weights

    def initialize_at_mean(self, own_place_logit: float) -> None:
        """Start at the alignment stage's target (Eq. 5): half of each modality's own token, summed."""
        initialize_as_identity(self.cross_attention, weight=0.5, own_place_logit=own_place_logit)


class MergingFusionModule(GradientCheckpointingLayer):
    """MFM, `Phi_F = M(Phi_I, Phi_V, Phi_D)` (Eq. 2): Phi_D queries both modalities, an MLP with a residual, a norm.

    Args:
        merging_attention: attention shared by both modalities.
        hidden_size: width of the features.
        intermediate_size: width of the MLP.
        layer_norm_eps: epsilon of the norm.
        joint_softmax: one softmax over both modalities instead of two whose results are summed.
    """

    def __init__(
        self,
        merging_attention: FusionAttention,
        hidden_size: int,
        intermediate_size: int,
        layer_norm_eps: float,
        joint_softmax: bool,
    ) -> None:
        super().__init__()
        self.merging_attention = merging_attention
        self.mlp = nn.Sequential(
            nn.Linear(hidden_size, intermediate_size), nn.GELU(), nn.Linear(intermediate_size, hidden_size)
        )
        self.norm = nn.LayerNorm(hidden_size, eps=layer_norm_eps)
        self.joint_softmax = joint_softmax

    def forward(
        self,
        infrared_features: Tensor,
        visible_features: Tensor,
        contour_features: Tensor,
        grid: tuple[int, int],
        attend: Callable,
    ) -> tuple[Tensor, dict[str, Tensor | None]]:
        """Three `(B, tokens, hidden)` to Phi_F of the same shape, and the attention weights by name."""
        merge = self.merging_attention
        if self.joint_softmax:
            merged, to_both = merge(contour_features, infrared_features, visible_features, grid=grid, attend=attend)
            weights = {"contour_to_both": to_both}
        else:
            from_infrared, to_infrared = merge(contour_features, infrared_features, grid=grid, attend=attend)
            from_visible, to_visible = merge(contour_features, visible_features, grid=grid, attend=attend)
            merged = from_infrared + from_visible
            weights = {"contour_to_infrared": to_infrared, "contour_to_visible": to_visible}
        return self.norm(merged + self.mlp(merged)), weights

    def initialize_at_mean(self, own_place_logit: float) -> None:
        """Start at the alignment stage's target (Eq. 5), up to the norm: the mean of both modalities' own tokens."""
        initialize_as_identity(self.merging_attention, 1.0 if self.joint_softmax else 0.5, own_place_logit)
        zero_linear(self.mlp[-1])


def truncated_to_8_bit(values: Tensor) -> Tensor:
    """Values clipped to [0, 1] and cut down to whole 255ths."""
    return (values * WHITE).clamp(0, WHITE).floor() / WHITE


def zero_linear(linear: nn.Module) -> None:
    """Make a linear layer give nothing."""
    for parameter in linear.parameters():
        init.zeros_(parameter)


@torch.no_grad()
def initialize_as_identity(attention: FusionAttention, weight: float, own_place_logit: float) -> None:
    """Make an attention give `weight` times a token's own place: values the identity, output `weight` times that."""
    init.eye_(attention.v_proj.weight)
    init.zeros_(attention.v_proj.bias)
    init.copy_(attention.out_proj.weight, weight * torch.eye(len(attention.out_proj.weight)))
    init.zeros_(attention.out_proj.bias)
    if isinstance(attention, LocalAttention):
        attention.prefer_own_place(own_place_logit)


class MaeFuseDecoder(nn.Module):
    """D, `F = D(Phi_F)` (Eq. 3): an embedding, ViT blocks, a norm and a linear layer to the pixels of each patch.

    Args:
        hidden_size: width of the features that come in.
        decoder_hidden_size, num_layers, num_heads, intermediate_size: sizes of the ViT blocks.
        patch_values: numbers predicted for each patch.
        add_positions: add sin-cos positions of the actual grid at the entrance.
        attn_implementation: attention kernel of the blocks, as transformers names it.
    """

    def __init__(
        self,
        hidden_size: int,
        decoder_hidden_size: int,
        num_layers: int,
        num_heads: int,
        intermediate_size: int,
        patch_values: int,
        add_positions: bool,
        attn_implementation: str,
    ) -> None:
        super().__init__()
        self.block_config = ViTMAEConfig(
            hidden_size=decoder_hidden_size,
            num_attention_heads=num_heads,
            intermediate_size=intermediate_size,
            layer_norm_eps=1e-6,
        )
        self.block_config._attn_implementation = attn_implementation
        self.add_positions = add_positions
        self.embed = nn.Linear(hidden_size, decoder_hidden_size)
        self.layers = nn.ModuleList([ViTMAELayer(self.block_config) for _ in range(num_layers)])
        self.norm = nn.LayerNorm(decoder_hidden_size, eps=self.block_config.layer_norm_eps)
        self.predict = nn.Linear(decoder_hidden_size, patch_values)

    def forward(self, features: Tensor, grid: tuple[int, int]) -> Tensor:
        """`(B, rows * columns, hidden)` to `(B, rows * columns, patch_values)`, normalised as the encoder's input."""
        tokens = self.embed(features)
        if self.add_positions:
            tokens = tokens + sincos_position_embedding(*grid, tokens.shape[-1]).to(tokens)
        for layer in self.layers:
            tokens = layer(tokens)
        return self.predict(self.norm(tokens))

    @torch.no_grad()
    def initialize_as_read_out(self, weight: Tensor, bias: Tensor) -> None:
        """Start as a linear read-out of the encoder's tokens, from pretraining: blocks that add nothing yet.

        Exact where the encoder's last norm has no affine part, the decoder is as wide as the encoder and
        `decoder_position_embedding` is off.

        Args:
            weight: `(patch_values, hidden)`.
            bias: `(patch_values,)`.

        Raises:
            ValueError: if the shapes or the configuration do not fit.
        """
        if self.add_positions or self.embed.weight.shape[0] != self.embed.weight.shape[1]:
            raise ValueError(
                "A decoder starts as a read-out only with decoder_hidden_size equal to the encoder's hidden_size "
                f"(decoder {self.embed.weight.shape[0]}, encoder {self.embed.weight.shape[1]}) and "
                f"decoder_position_embedding=False (it is {self.add_positions})."
            )
        if weight.shape != self.predict.weight.shape:
            raise ValueError(f"The read-out is {tuple(weight.shape)}; {tuple(self.predict.weight.shape)} is needed.")
        init.eye_(self.embed.weight)
        init.zeros_(self.embed.bias)
        for layer in self.layers:
            zero_linear(layer.get_submodule("attention.o_proj"))
            zero_linear(layer.get_submodule("mlp.fc2"))
        self.predict.weight.copy_(weight)
        self.predict.bias.copy_(bias)


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
                "global": lambda: GlobalAttention(hidden_size, heads),
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
        )
        self.post_init()
        self.freeze()

    @can_return_tuple
    def forward(
        self,
        infrared: Tensor,
        visible: Tensor,
        fusion: Literal["mean", "cfm", "mfm"] = "mfm",
        contour: Literal["cfm", "infrared", "visible"] = "cfm",
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
            return_loss: return the fusion loss (paper, Eq. 4) as well.
            visible_rgb, original_sizes, resized_sizes: not used here, only by `post_process_image_fusion`; accepted so
                that `model(**inputs)` works.

        Raises:
            ValueError: if the two shapes differ, a side is no multiple of the patch size, `fusion` or `contour` is
                unknown or does not fit the other, or there are no attention weights to return.
        """
        self.check_inputs(infrared, visible, fusion, contour)
        tiles = self.tiles(infrared)
        pieces = [
            self.fuse_tile(infrared_tile, visible_tile, fusion, contour)
            for infrared_tile, visible_tile in zip(
                self.in_tiles(tiles, infrared), self.in_tiles(tiles, visible), strict=True
            )
        ]
        decoded = tiles.join(torch.cat([piece.decoded for piece in pieces]), self.patch_size)
        fused = self.refine(decoded, infrared, visible)

        return MaeFuseOutput(
            loss=self.fusion_loss(fused, infrared, visible) if return_loss else None,
            fused=fused.clamp(0, 1),
            **{
                name: tiles.join_tokens(torch.cat([piece.features[name] for piece in pieces]))
                for name in pieces[0].features
            },
            attentions=self.joined_attentions(tiles, pieces) if output_attentions else None,
        )

    def fuse_tile(self, infrared: Tensor, visible: Tensor, fusion: str, contour: str) -> FusedTile:
        """Two `(B, 1, H, W)` within which all tokens see each other, through the whole model (paper, Fig. 2)."""
        batch, grid = infrared.shape[0], self.patch_grid(infrared)
        attentions: dict[str, Tensor | None] = {}

        encoded = self.encode(torch.cat([infrared, visible]))
        infrared_features, visible_features = encoded[:batch], encoded[batch:]
        features = {"infrared_features": infrared_features, "visible_features": visible_features}

        if fusion == "mean":
            fused_features = (infrared_features + visible_features) / 2
        else:
            if contour == "cfm":
                contour_features, weights = self.compare(infrared_features, visible_features, grid)
                attentions.update(weights)
            else:
                contour_features = infrared_features if contour == "infrared" else visible_features
            features["contour_features"] = fused_features = contour_features
            if fusion == "mfm":
                fused_features, weights = self.merge(infrared_features, visible_features, contour_features, grid)
                attentions.update(weights)
        features["fused_features"] = fused_features

        return FusedTile(self.decode(fused_features, grid), features, attentions)

    def tiles(self, images: Tensor) -> Tiles:
        """The tiles in which `(B, 1, H, W)` images go through the model: one, without `tile_size`."""
        grid = self.patch_grid(images)
        return covering_tiles(grid, self.config.tile_size or max(grid), TILE_OVERLAP)

    def in_tiles(self, tiles: Tiles, images: Tensor) -> tuple[Tensor, ...]:
        """The tiles of `(B, 1, H, W)` images in batches; images of one tile stay in the batch they are in."""
        parts = tiles.cut(images, self.patch_size)
        return parts.split(TILES_AT_ONCE if tiles.count > 1 else len(parts))

    def reconstruct(self, images: Tensor) -> Tensor:
        """What encoder and decoder give back of `(B, 1, H, W)` luminance, in tiles as `forward`; not clipped."""
        tiles = self.tiles(images)
        decoded = [self.decode(self.encode(part), self.patch_grid(part)) for part in self.in_tiles(tiles, images)]
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

    def compare(
        self, infrared_features: Tensor, visible_features: Tensor, grid: tuple[int, int]
    ) -> tuple[Tensor, dict[str, Tensor | None]]:
        """`Phi_D = C(Phi_I, Phi_V)` (Eq. 2): two `(B, tokens, hidden)` to one, and the attention weights by name."""
        infrared_features, visible_features = self.placed(infrared_features, visible_features, grid)
        return self.comparative_fusion(infrared_features, visible_features, grid=grid, attend=self.attention_kernel())

    def merge(
        self,
        infrared_features: Tensor,
        visible_features: Tensor,
        contour_features: Tensor,
        grid: tuple[int, int],
    ) -> tuple[Tensor, dict[str, Tensor | None]]:
        """`Phi_F = M(Phi_I, Phi_V, Phi_D)` (Eq. 2): three `(B, tokens, hidden)` to one, and the weights by name."""
        infrared_features, visible_features = self.placed(infrared_features, visible_features, grid)
        return self.merging_fusion(
            infrared_features, visible_features, contour_features, grid=grid, attend=self.attention_kernel()
        )

    def placed(
        self, infrared_features: Tensor, visible_features: Tensor, grid: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Both `(B, tokens, hidden)` as fusion takes them: positions added under `fusion_position_embedding`."""
        if not self.config.fusion_position_embedding:
            return infrared_features, visible_features
        positions = sincos_position_embedding(*grid, infrared_features.shape[-1]).to(infrared_features)
        return infrared_features + positions, visible_features + positions

    def attention_kernel(self) -> Callable:
        """The attention function that `attn_implementation` names."""
        return ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)

    def decode(self, features: Tensor, grid: tuple[int, int]) -> Tensor:
        """`F = D(Phi)` (Eq. 3).

        Args:
            features: `(B, rows * columns, hidden)`.
            grid: `(rows, columns)` of patches.

        Returns:
            `(B, 1, rows * patch, columns * patch)` float32 luminance, nominally in [0, 1] but not clipped, so that a
            loss has a gradient everywhere.
        """
        patches = self.decoder(features, grid).float().unflatten(1, grid)
        patches = patches.unflatten(-1, (self.patch_size, self.patch_size, -1))
        channels = patches.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)
        channels = channels * self.channel_statistic(self.config.image_std, channels)
        channels = channels + self.channel_statistic(self.config.image_mean, channels)
        if self.config.truncate_to_8_bit:
            # the gradient passes as if nothing had been cut
            channels = channels + (truncated_to_8_bit(channels) - channels).detach()
        if channels.shape[1] == 1:
            return channels
        return (channels * self.channel_statistic(BT601_LUMINANCE, channels)).sum(dim=1, keepdim=True)

    def refine(self, fused: Tensor, infrared: Tensor, visible: Tensor) -> Tensor:
        """The decoder's image with its contrast restored, under `contrast_gain`, and then the two images' own fine
        detail, under `detail_sigma`; otherwise as it came.

        Args:
            fused, infrared, visible: `(B, 1, H, W)` luminance.

        Returns:
            `(B, 1, H, W)` float32 luminance, not clipped.
        """
        if self.config.contrast_gain is not None:
            fused = with_restored_contrast(fused, self.config.contrast_gain)
        if self.config.detail_sigma is not None:
            fused = with_own_detail(fused, infrared, visible, self.config.detail_sigma)
        return fused

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
        """Eq. 4, intensity plus `gradient_loss_weight` times gradient, of `(B, 1, H, W)` luminance; a scalar."""
        gradient = gradient_loss(fused, infrared.float(), visible.float())
        return intensity_loss(fused, infrared, visible) + self.config.gradient_loss_weight * gradient

    def check_inputs(self, infrared: Tensor, visible: Tensor, fusion: str, contour: str) -> None:
        """Raise the `ValueError`s that `forward` documents."""
        for name, images in (("infrared", infrared), ("visible", visible)):
            if images.ndim != 4 or images.shape[1] != 1:
                raise ValueError(
                    f"{name} has shape {tuple(images.shape)}; (batch, 1, height, width) luminance is needed, as "
                    "MaeFuseImageProcessor makes it."
                )
        if infrared.shape != visible.shape:
            raise ValueError(
                f"infrared has shape {tuple(infrared.shape)} and visible {tuple(visible.shape)}; they must be equal. "
                "Registered images of one size are needed."
            )
        height, width = infrared.shape[-2:]
        if height % self.patch_size or width % self.patch_size or height == 0 or width == 0:
            raise ValueError(
                f"The images are {height}x{width}; both sides must be multiples of the patch size "
                f"{self.patch_size}. MaeFuseImageProcessor(size_divisor={self.patch_size}) pads them and crops the "
                "result."
            )
        if fusion not in ("mean", "cfm", "mfm"):
            raise ValueError(f"fusion is {fusion!r}; choose 'mean', 'cfm' or 'mfm'.")
        if contour not in ("cfm", "infrared", "visible"):
            raise ValueError(f"contour is {contour!r}; choose 'cfm', 'infrared' or 'visible'.")
        if contour != "cfm" and fusion != "mfm":
            raise ValueError(f"contour={contour!r} guides the merging module; it needs fusion='mfm', not {fusion!r}.")

    def joined_attentions(self, tiles: Tiles, pieces: list[FusedTile]) -> dict[str, Tensor]:
        """The attention weights of the whole image by name.

        Raises:
            ValueError: if the kernel gives none, or if keys are a tile's own tokens and there are several tiles.
        """
        if any(weights is None for weights in pieces[0].attentions.values()):
            raise ValueError(
                f"output_attentions=True, but fusion_attention={self.config.fusion_attention!r} under "
                f"attn_implementation={self.config._attn_implementation!r} gives no weights. Load the model with "
                "attn_implementation='eager'; pointwise attention has none."
            )
        if tiles.count > 1 and self.config.fusion_attention == "global":
            raise ValueError(
                f"output_attentions=True, but the image is fused in {tiles.count} tiles, within which global "
                "attention has its keys, so that there are no weights of the whole image. Give images of one "
                f"tile, {self.config.tile_size} patches a side, or set tile_size to None."
            )
        joined = {}
        for name in pieces[0].attentions:
            weights = torch.cat([cast(Tensor, piece.attentions[name]) for piece in pieces])
            by_token = tiles.join_tokens(weights.transpose(1, 2).flatten(2))
            joined[name] = by_token.unflatten(2, weights.shape[1::2]).transpose(1, 2)
        return joined

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
            OSError: if there is no such checkpoint.
        """
        return_info = kwargs.pop("output_loading_info", False)
        loaded = super().from_pretrained(
            pretrained_model_name_or_path,
            *args,
            **{**kwargs, "output_loading_info": True, "ignore_mismatched_sizes": True},
        )
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
        if Path(pretrained_encoder).suffix in CHECKPOINT_SUFFIXES:
            raise ValueError(
                f"{pretrained_encoder} is a file of torch.save, no folder that transformers saved. "
                "maefuse_hf.conversion.model_from_encoder takes it, and reads it without running what it holds."
            )
        loaded = ViTMAEModel.from_pretrained(
            pretrained_encoder, mask_ratio=0.0, output_loading_info=True, ignore_mismatched_sizes=True
        )
        encoder, info = cast(tuple[ViTMAEModel, dict[str, Any]], loaded)
        refuse_incomplete(f"{pretrained_encoder} as a ViTMAEModel", info, allowed_prefix="decoder.")
        preprocessor = cached_file(
            pretrained_encoder, "preprocessor_config.json", _raise_exceptions_for_missing_entries=False
        )
        statistics = {}
        if preprocessor is not None:
            values = json.loads(Path(preprocessor).read_text())
            statistics = {name: values[name] for name in ("image_mean", "image_std") if name in values}
        if Path(pretrained_encoder).exists():
            # a folder on this machine means nothing to whoever loads the model elsewhere
            encoder.config.name_or_path = ""
        return cls.from_encoder(encoder, **{**statistics, **config_fields})

    @classmethod
    def from_encoder(cls, encoder: ViTMAEModel, **config_fields: Any) -> "MaeFuseModel":
        """A MaeFuse with the weights of this encoder; `config_fields` as in `from_encoder_pretrained`."""
        config = cls.config_class(encoder_config=encoder.config, **config_fields)
        model = cls(config)
        model.encoder.load_state_dict(encoder.state_dict())
        return model


def refuse_incomplete(what: str, info: dict[str, Any], allowed_prefix: str | None) -> None:
    """Raise a `ValueError` that lists what a checkpoint lacks, has besides, or has in other sizes."""
    unexpected = [
        key for key in info["unexpected_keys"] if allowed_prefix is None or not key.startswith(allowed_prefix)
    ]
    mismatched = [f"{key} {tuple(found)} instead of {tuple(needed)}" for key, found, needed in info["mismatched_keys"]]
    problems = [
        f"{label}: {', '.join(sorted(keys))}"
        for label, keys in (
            ("missing", info["missing_keys"]),
            ("unknown", unexpected),
            ("other sizes", mismatched),
        )
        if keys
    ]
    if problems:
        raise ValueError(f"Cannot load {what}. {'; '.join(problems)}. Is it the right checkpoint, and whole?")


__all__ = [
    "ComparativeFusionModule",
    "MaeFuseDecoder",
    "MaeFuseModel",
    "MaeFuseOutput",
    "MaeFusePreTrainedModel",
    "MergingFusionModule",
]
