"""The guided training (paper, sections 3.2 and 3.3) as data: what each stage trains, on which features and loss."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from maefuse_hf import MaeFuseModel
from maefuse_hf.guide import guide
from maefuse_hf.losses import (
    alignment_loss,
    alignment_terms,
    fusion_terms,
    needs_guide,
    reconstruction_terms,
    weighted_sum,
)
from training.block_effect import block_effect
from training.config import StageConfig, require


@dataclass(frozen=True)
class EncodedPairs:
    """A batch of pairs and what the encoder makes of it."""

    infrared: Tensor
    """`(B, 1, H, W)` luminance in [0, 1]."""
    visible: Tensor
    infrared_features: Tensor
    """`(B, tokens, hidden)`."""
    visible_features: Tensor
    grid: tuple[int, int]
    """Rows and columns of patches."""
    clean_infrared: Tensor
    """The same images undamaged, which fusion losses are taken against."""
    clean_visible: Tensor
    seen_by_guide: tuple[Tensor, ...] = ()
    """The images that tell the guide what damage hides; none: it is that of the undamaged pair."""


def single_features(model: MaeFuseModel, pairs: EncodedPairs) -> Tensor:
    """Both modalities' features, one image after the other: `(2 B, tokens, hidden)`."""
    return torch.cat([pairs.infrared_features, pairs.visible_features])


def single_images(pairs: EncodedPairs) -> Tensor:
    """The images of `single_features` as they came, `(2 B, 1, H, W)`."""
    return torch.cat([pairs.infrared, pairs.visible])


def contour_features(model: MaeFuseModel, pairs: EncodedPairs) -> Tensor:
    """Phi_D, with which the comparative module feeds the decoder while the merging module is idle."""
    return model.fuse_features(pairs.infrared_features, pairs.visible_features, pairs.grid, fusion="cfm").fused


def fused_features(model: MaeFuseModel, pairs: EncodedPairs) -> Tensor:
    """Phi_F, the merging module's output."""
    return model.fuse_features(pairs.infrared_features, pairs.visible_features, pairs.grid, fusion="mfm").fused


def decoded(model: MaeFuseModel, features: Tensor, pairs: EncodedPairs) -> Tensor:
    """What the decoder makes of features: `(B, 1, H, W)` luminance, one image for each of them."""
    return model.decode(features, pairs.grid)


def refined(model: MaeFuseModel, features: Tensor, pairs: EncodedPairs) -> Tensor:
    """The same as a user gets it: with the fine detail of the images that the decoder trusts, if the model weighs."""
    image, trust = model.decode_with_trust(features, pairs.grid)
    return model.refine(image, trust, pairs.infrared, pairs.visible)[0]


def reconstruct(model: MaeFuseModel, features: Tensor, pairs: EncodedPairs, weights: Mapping) -> dict[str, Tensor]:
    """The decoder gives single images back as they came: what damage hides is for the fusion modules to find."""
    return reconstruction_terms(decoded(model, features, pairs), single_images(pairs))


def align(model: MaeFuseModel, features: Tensor, pairs: EncodedPairs, weights: Mapping) -> dict[str, Tensor]:
    """The fusion module's output comes to lie in the encoder's feature domain (Eq. 5)."""
    return alignment_terms(features, pairs.infrared_features, pairs.visible_features)


def fuse(model: MaeFuseModel, features: Tensor, pairs: EncodedPairs, weights: Mapping) -> dict[str, Tensor]:
    """The decoded features hold the texture of both undamaged images (Eq. 4).

    Both the image as the decoder makes it and the refined one are judged. Where the decoder changes too, it still has
    to give single images back as they came, as in its own stage.
    """
    image, trust = model.decode_with_trust(features, pairs.grid)
    judged = {"decoded": image}
    if trust is not None:
        judged["fused"], _ = model.refine(image, trust, pairs.infrared, pairs.visible)
    # differences of neighbouring pixels need all their digits
    clean = pairs.clean_infrared, pairs.clean_visible
    with torch.autocast(image.device.type, enabled=False):
        target = guide_of(pairs, weights)
        terms = {
            f"{of}_{name}": term
            for of, judged_image in judged.items()
            for name, term in fusion_terms(judged_image, *clean, weights, target).items()
        }
    if any(parameter.requires_grad for parameter in model.decoder.predict.parameters()):
        # four images of the batch are enough to hold the decoder, and cost little
        few = slice(None, None, max(1, len(features) // 2))
        singles = decoded(model, single_features(model, pairs)[few], pairs)
        terms |= reconstruction_terms(singles, single_images(pairs)[few])
    return terms


def guide_of(pairs: EncodedPairs, weights: Mapping) -> Tensor | None:
    """The target of the losses that have one: `(B, 1, H, W)` luminance."""
    if not needs_guide(weights):
        return None
    return guide(pairs.clean_infrared, pairs.clean_visible, seen=pairs.seen_by_guide)


def watch_fusion(model: MaeFuseModel, features: Tensor, pairs: EncodedPairs, weights: Mapping) -> dict[str, Tensor]:
    """What the losses of the other stages would say of a fusion stage, and what no loss asks for.

    Eq. 4 of the decoded image, Eq. 5 of the stage's features and of the comparative module's, as a distance from where
    alignment left them, and the block effect.
    """
    image = decoded(model, features, pairs)
    clean = pairs.clean_infrared, pairs.clean_visible
    sources = pairs.infrared_features, pairs.visible_features
    with torch.autocast(image.device.type, enabled=False):
        of_fusion = fusion_terms(image, *clean, weights, guide_of(pairs, weights))
    return {
        **{f"decoded_{name}": term for name, term in of_fusion.items()},
        **alignment_terms(features, *sources),
        "contour_alignment": alignment_loss(contour_features(model, pairs), *sources),
        "block_effect": block_effect(image, model.patch_size).nanmean(),
    }


def watch_nothing(model: MaeFuseModel, features: Tensor, pairs: EncodedPairs, weights: Mapping) -> dict[str, Tensor]:
    """Nothing beside the loss."""
    return {}


@dataclass(frozen=True)
class Stage:
    """One stage of the guided training."""

    name: str
    """As in `StagesConfig`."""
    trains: tuple[str, ...]
    """The parts of the model that change, and no other."""
    features: Callable[[MaeFuseModel, EncodedPairs], Tensor]
    loss: Callable[[MaeFuseModel, Tensor, EncodedPairs, Mapping], dict[str, Tensor]]
    image: Callable[[MaeFuseModel, Tensor, EncodedPairs], Tensor]
    """What there is to look at."""
    reaches: tuple[str, ...]
    """The parts that have a gradient of this loss, which a YAML may unlock beside or instead of `trains`."""
    watch: Callable[[MaeFuseModel, Tensor, EncodedPairs, Mapping], dict[str, Tensor]] = watch_fusion
    """What validation looks at beside the loss, by name."""


CFM, MFM, DECODER = "comparative_fusion", "merging_fusion", "decoder"
TRUST = "decoder.weigh"
"""The decoder's second layer alone: the image that it decodes stays as it is."""

STAGES = (
    Stage("decoder", (DECODER,), single_features, reconstruct, decoded, (DECODER,), watch_nothing),
    Stage("cfm_align", (CFM,), contour_features, align, refined, reaches=(CFM,)),
    Stage("cfm_fuse", (CFM,), contour_features, fuse, refined, reaches=(CFM, DECODER)),
    Stage("mfm_align", (MFM,), fused_features, align, refined, reaches=(CFM, MFM)),
    Stage("mfm_fuse", (MFM,), fused_features, fuse, refined, reaches=(CFM, MFM, DECODER, TRUST)),
)


def as_planned(stage: Stage, plan: StageConfig) -> Stage:
    """The stage as a YAML wants it.

    Raises:
        ValueError: if the YAML names a part that the loss of this stage does not reach.
    """
    fits = set(plan.trains) <= set(stage.reaches)
    require(fits, f"stages.{stage.name}.trains", list(plan.trains), f"out of {', '.join(stage.reaches)}")
    return replace(stage, trains=plan.trains or stage.trains)


class GuidedStep(nn.Module):
    """A model under one stage: pairs in, named loss terms and their weighted total out."""

    def __init__(
        self,
        model: MaeFuseModel,
        stage: Stage,
        loss_weights: Mapping[str, float],
        reconstruction_weight: float = 1.0,
        guide_sees_damage: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self.guide_sees_damage = guide_sees_damage
        self.stage = stage
        self.loss_weights = dict(loss_weights)
        self.term_weights = {f"{of}_{name}": loss_weights[name] for of in ("decoded", "fused") for name in loss_weights}
        if stage.loss is fuse:
            self.term_weights["reconstruction"] = reconstruction_weight
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(any(name.startswith(f"{part}.") for part in stage.trains))

    def forward(
        self,
        infrared: Tensor,
        visible: Tensor,
        infrared_features: Tensor | None = None,
        visible_features: Tensor | None = None,
        clean_infrared: Tensor | None = None,
        clean_visible: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch.

        Args:
            infrared, visible: `(B, 1, H, W)` luminance in [0, 1].
            infrared_features, visible_features: `(B, tokens, hidden)` where the encoder has been run before.
            clean_infrared, clean_visible: the same images undamaged; without them they are as they came.

        Returns:
            the weighted total and its terms, all scalars; in evaluation mode what the stage watches is among them.
        """
        pairs = self.encoded(infrared, visible, infrared_features, visible_features)
        if clean_infrared is not None and clean_visible is not None:
            seen = (infrared, visible) if self.guide_sees_damage else ()
            pairs = replace(pairs, clean_infrared=clean_infrared, clean_visible=clean_visible, seen_by_guide=seen)
        features = self.stage.features(self.model, pairs)
        terms = self.stage.loss(self.model, features, pairs, self.loss_weights)
        loss = weighted_sum(terms, self.term_weights)
        if not self.training:
            terms = self.stage.watch(self.model, features, pairs, self.loss_weights) | terms
        return loss, terms

    @torch.no_grad()
    def encoded(
        self,
        infrared: Tensor,
        visible: Tensor,
        infrared_features: Tensor | None = None,
        visible_features: Tensor | None = None,
    ) -> EncodedPairs:
        """Both modalities through the frozen encoder in one run, unless that has been done before."""
        grid = self.model.patch_grid(infrared)
        if infrared_features is None or visible_features is None:
            features = self.model.encode(torch.cat([infrared, visible]))
            infrared_features, visible_features = features[: len(infrared)], features[len(infrared) :]
        return EncodedPairs(
            infrared=infrared,
            visible=visible,
            infrared_features=infrared_features.float(),
            visible_features=visible_features.float(),
            grid=grid,
            clean_infrared=infrared,
            clean_visible=visible,
        )

    @torch.no_grad()
    def decode(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """What the stage's features look like: `(B or 2 B, 1, H, W)` luminance, nominally in [0, 1]."""
        pairs = self.encoded(infrared, visible)
        return self.stage.image(self.model, self.stage.features(self.model, pairs), pairs)
