from dataclasses import replace

import pytest
import torch
from conftest import small_model

from maefuse_hf import MaeFuseConfig, MaeFuseModel
from maefuse_hf.guide import guide
from maefuse_hf.inference.checkpoint import load_checkpoint
from maefuse_hf.losses import fusion_terms, gradient_loss, intensity_loss
from training.block_effect import block_effect
from training.config import OptimizerConfig, StartConfig
from training.initialization import initialize_fusion_at_mean
from training.optimizer import adamw
from training.stages import STAGES, GuidedStep

WEIGHTS = {"intensity": 1.0, "gradient": 2.0}


def test_the_schedule_is_the_papers():
    assert [stage.name for stage in STAGES] == ["decoder", "cfm_align", "cfm_fuse", "mfm_align", "mfm_fuse"]


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_each_stage_changes_exactly_its_part(stage, images):
    model = small_model()
    step = GuidedStep(model, stage, WEIGHTS).train()
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.SGD([p for p in step.parameters() if p.requires_grad], lr=0.1)
    loss, terms = step(*images)
    loss.backward()
    optimizer.step()
    changed = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert {name.split(".")[0] for name in changed} == set(stage.trains)
    assert not any(module.training for module in model.encoder.modules())
    assert all(term.ndim == 0 for term in terms.values())


def test_stages_minimise_what_the_paper_says(images):
    model = small_model()
    steps = {stage.name: GuidedStep(model, stage, WEIGHTS) for stage in STAGES}
    infrared, visible = model.encode(images[0]), model.encode(images[1])
    grid = (5, 8)

    singles = torch.cat(images)
    restored = model.decode(torch.cat([infrared, visible]), grid)
    assert torch.isclose(steps["decoder"](*images)[0], (restored - singles).square().mean())

    contour = model.compare(infrared, visible, grid)[0]
    assert torch.isclose(steps["cfm_align"](*images)[0], ((infrared + visible) / 2 - contour).square().mean())

    merged = model.merge(infrared, visible, contour, grid)[0]
    assert torch.isclose(steps["mfm_align"](*images)[0], ((infrared + visible) / 2 - merged).square().mean())

    for name, features in (("cfm_fuse", contour), ("mfm_fuse", merged)):
        fused = model.decode(features, grid)
        expected = intensity_loss(fused, *images) + 2 * gradient_loss(fused, *images)
        assert torch.isclose(steps[name](*images)[0], expected)
        assert torch.allclose(steps[name].decode(*images), fused)


def test_validation_watches_what_the_loss_does_not_ask_for(images):
    model = small_model()
    stage = next(stage for stage in STAGES if stage.name == "mfm_align")
    step = GuidedStep(model, stage, WEIGHTS)
    _, trained = step.train()(*images)
    loss, watched = step.eval()(*images)
    assert set(trained) == {"alignment"}
    assert set(watched) == {"decoded_intensity", "decoded_gradient", "alignment", "contour_alignment", "block_effect"}
    assert torch.isclose(loss, trained["alignment"])

    infrared, visible = model.encode(images[0]), model.encode(images[1])
    contour = model.compare(infrared, visible, (5, 8))[0]
    fused = model.decode(model.merge(infrared, visible, contour, (5, 8))[0], (5, 8))
    assert torch.isclose(watched["contour_alignment"], ((infrared + visible) / 2 - contour).square().mean())
    assert torch.isclose(watched["decoded_intensity"], intensity_loss(fused, *images))
    assert torch.isclose(watched["block_effect"], block_effect(fused, 8).mean())


def test_the_last_stage_minimises_the_loss_that_the_model_returns(images):
    weights = {"guide": 1.0, "edges": 0.5}
    model = small_model(merging_blocks=1, source_detail_sigma=2.0, loss_weights=weights)
    expected = model(*images, return_loss=True).loss
    assert torch.isclose(GuidedStep(model, STAGES[-1], model.config.loss_weights)(*images)[0], expected)


def test_the_guide_may_show_by_one_image_what_damage_hides_in_the_other(images):
    model = small_model()
    infrared, visible = images
    seen = infrared, torch.full_like(visible, 0.1)
    clean = {"clean_infrared": infrared, "clean_visible": visible}
    weights = {"guide": 1.0}
    losses = {sees: GuidedStep(model, STAGES[-1], weights, guide_sees_damage=sees) for sees in (False, True)}
    fused = losses[True].decode(*seen)
    for sees, target in ((False, guide(*images)), (True, guide(*images, seen=seen))):
        terms = losses[sees](*seen, **clean)[1]
        assert torch.isclose(terms["decoded_guide"], (fused - target).abs().mean())
        watched = losses[sees].eval()(*seen, **clean)[1]
        assert torch.isclose(watched["decoded_guide"], terms["decoded_guide"])
    # of an undamaged pair it is the guide of that pair
    assert torch.isclose(losses[True](*images)[0], (losses[True].decode(*images) - guide(*images)).abs().mean())


def test_autocast_does_not_reach_the_loss(images):
    step = GuidedStep(small_model(), STAGES[-1], {"structure": 1.0, "edges": 1.0})
    with torch.autocast("cpu", torch.bfloat16):
        loss, terms = step(*images)
        fused = step.decode(*images)
    assert fused.dtype == loss.dtype == torch.float32
    expected = fusion_terms(fused, *images, step.loss_weights)
    assert terms == {f"decoded_{name}": term for name, term in expected.items()}


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_every_part_that_a_stage_reaches_can_be_unlocked(stage, images):
    model = small_model(merging_blocks=1, source_detail_sigma=2.0)
    step = GuidedStep(model, replace(stage, trains=stage.reaches), WEIGHTS)
    step(*images)[0].backward()
    trained = {name for name, parameter in step.model.named_parameters() if parameter.requires_grad}
    with_gradient = {name for name, parameter in step.model.named_parameters() if parameter.grad is not None}
    assert all(any(name.startswith(part) for name in trained) for part in stage.reaches)
    assert {name.split(".")[0] for name in trained} == {part.split(".")[0] for part in stage.reaches}
    # a single image has no sources to weigh
    unreached = {"decoder.weigh.weight", "decoder.weigh.bias"} if stage.name == "decoder" else set()
    assert with_gradient == trained - unreached


def test_trust_alone_leaves_the_decoded_image_as_it_is(images):
    model = small_model(source_detail_sigma=2.0)
    step = GuidedStep(model, replace(STAGES[-1], trains=("decoder.weigh",)), WEIGHTS)
    loss, terms = step(*images)
    loss.backward()
    with_gradient = {name for name, parameter in step.model.named_parameters() if parameter.grad is not None}
    assert with_gradient == {"decoder.weigh.weight", "decoder.weigh.bias"}
    assert not terms["decoded_intensity"].requires_grad and "reconstruction" not in terms


def test_fused_images_are_shown_refined_and_learned_decoded_and_refined(images):
    # an untrained model agrees with nothing: a tolerance that lets the sources in
    model = small_model(source_detail_sigma=2.0, detail_tolerance=200.0)
    fused = GuidedStep(model, STAGES[-1], WEIGHTS)
    outputs = model(*images)
    shown = fused.decode(*images)
    assert torch.allclose(shown.clamp(0, 1), outputs.fused, atol=1e-6)
    loss, terms = fused(*images)
    assert list(terms) == ["decoded_intensity", "decoded_gradient", "fused_intensity", "fused_gradient"]
    assert torch.isclose(terms["decoded_intensity"], intensity_loss(outputs.decoded, *images))
    assert torch.isclose(terms["fused_intensity"], intensity_loss(shown, *images))
    assert terms["fused_gradient"] != terms["decoded_gradient"]
    intensity, gradient = (terms[f"decoded_{name}"] + terms[f"fused_{name}"] for name in WEIGHTS)
    assert torch.isclose(loss, intensity + 2 * gradient)
    restored = model.decode(model.encode(torch.cat(images)), (5, 8))
    assert torch.allclose(GuidedStep(model, STAGES[0], WEIGHTS).decode(*images), restored, atol=1e-6)


def test_damaged_pairs_are_fused_towards_the_undamaged_ones(images):
    model, clean = small_model(source_detail_sigma=2.0), [image.flip(-1) for image in images]
    step = GuidedStep(model, STAGES[-1], WEIGHTS)
    outputs = model(*images)
    _, terms = step(*images, clean_infrared=clean[0], clean_visible=clean[1])
    assert torch.isclose(terms["decoded_intensity"], intensity_loss(outputs.decoded, *clean))
    # detail is taken of the images as they came
    assert torch.isclose(terms["fused_gradient"], gradient_loss(step.decode(*images), *clean))
    assert not torch.isclose(terms["decoded_intensity"], step(*images)[1]["decoded_intensity"], rtol=1e-4)


@pytest.mark.parametrize("stage", [STAGES[0], STAGES[1], STAGES[3]], ids=lambda stage: stage.name)
def test_other_stages_work_on_the_images_as_they_came(stage, images):
    step = GuidedStep(small_model(), stage, WEIGHTS)
    clean = {"clean_infrared": 1 - images[0], "clean_visible": 1 - images[1]}
    assert torch.equal(step(*images, **clean)[0], step(*images)[0])


@pytest.mark.parametrize(("pairs", "held"), [(2, [0, 1, 2, 3]), (8, [0, 4, 8, 12])])
def test_a_decoder_that_trains_with_fusion_still_gives_single_images_back(images, pairs, held):
    infrared, visible = (image[:, :, :16, :16].repeat(pairs // 2, 1, 1, 1) for image in images)
    infrared, visible = (image * torch.linspace(0.3, 1, pairs).view(-1, 1, 1, 1) for image in (infrared, visible))
    model = small_model()
    stage = replace(STAGES[-1], trains=("merging_fusion", "decoder"))
    loss, terms = GuidedStep(model, stage, WEIGHTS, reconstruction_weight=50.0)(infrared, visible)
    singles = torch.cat([infrared, visible])[held]
    restored = model.decode(model.encode(singles), (2, 2))
    assert torch.isclose(terms["reconstruction"], (restored - singles).square().mean())
    clean = {"clean_infrared": 1 - infrared, "clean_visible": 1 - visible}
    assert torch.equal(
        GuidedStep(model, stage, WEIGHTS)(infrared, visible, **clean)[1]["reconstruction"], terms["reconstruction"]
    )
    fusion = terms["decoded_intensity"] + 2 * terms["decoded_gradient"]
    assert torch.isclose(loss, fusion + 50 * terms["reconstruction"])
    assert "reconstruction" not in GuidedStep(model, STAGES[-1], WEIGHTS)(infrared, visible)[1]


def test_the_decoders_own_stage_weighs_its_only_term_once(images):
    loss, terms = GuidedStep(small_model(), STAGES[0], WEIGHTS, reconstruction_weight=50.0)(*images)
    assert list(terms) == ["reconstruction"] and torch.equal(loss, terms["reconstruction"])


@pytest.mark.parametrize("attention", ["global", "local"])
def test_alignment_brings_eq_5_below_a_tenth_of_its_start(images, attention):
    model = small_model(fusion_attention=attention)
    for stage in (STAGES[1], STAGES[3]):
        step = GuidedStep(model, stage, WEIGHTS).train()
        optimizer = torch.optim.AdamW([p for p in step.parameters() if p.requires_grad], lr=1e-2)
        losses = []
        for _ in range(100):
            loss, terms = step(*images)
            assert list(terms) == ["alignment"]
            losses.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert losses[-1] < 0.1 * losses[0]


def test_one_pair_can_be_overfitted():
    """From the alignment stages' target, between the shipped encoder and decoder, on a pair whose Eq. 4 can reach
    zero: where one image has texture the other is black."""
    row, column = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    infrared = ((26 - column) / 1.5).sigmoid() * (0.5 + 0.5 * torch.sin(row * torch.pi / 4))
    visible = ((column - 38) / 1.5).sigmoid() * (0.5 + 0.5 * torch.sin((row + column) * torch.pi / 6))
    pair = infrared[None, None], visible[None, None]

    shipped, _ = load_checkpoint()
    torch.manual_seed(0)
    # the paper's merging module, and the decoder's image alone
    fields = {"merging_blocks": 0, "source_detail_sigma": None}
    model = MaeFuseModel(MaeFuseConfig.from_dict({**shipped.config.to_dict(), **fields}))
    model.encoder.load_state_dict(shipped.encoder.state_dict())
    layers = shipped.decoder.state_dict()
    model.decoder.load_state_dict({name: layers[name] for name in model.decoder.state_dict()})
    initialize_fusion_at_mean(model, StartConfig().own_place_logit)
    features, steps = [model.encode(image) for image in pair], 80
    for stage in (STAGES[2], STAGES[4]):
        step = GuidedStep(model, stage, WEIGHTS).train()
        optimizer, schedule = adamw(step, OptimizerConfig(schedule="cosine"), 1e-3, steps=steps, processes=1)
        losses = []
        for _ in range(steps):
            loss = step(*pair, *features)[0]
            losses.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        assert losses[-1] < 0.1 * losses[0]
