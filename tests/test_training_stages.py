import pytest
import torch
from conftest import small_model

from maefuse_hf.losses_maefuse import gradient_loss, intensity_loss
from training.stages import STAGES, GuidedStep

WEIGHTS = {"intensity": 1.0, "gradient": 2.0}


def test_the_schedule_is_the_papers():
    assert [stage.name for stage in STAGES] == ["decoder", "cfm_align", "cfm_fuse", "mfm_align", "mfm_fuse"]


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_each_stage_changes_exactly_its_part(stage, pictures):
    model = small_model()
    step = GuidedStep(model, stage, WEIGHTS).train()
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.SGD([p for p in step.parameters() if p.requires_grad], lr=0.1)
    loss, terms = step(*pictures)
    loss.backward()
    optimizer.step()
    changed = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert {name.split(".")[0] for name in changed} == {stage.trains}
    assert not any(module.training for module in model.encoder.modules())
    assert all(term.ndim == 0 for term in terms.values())


def test_stages_minimise_what_the_paper_says(pictures):
    model = small_model()
    steps = {stage.name: GuidedStep(model, stage, WEIGHTS) for stage in STAGES}
    infrared, visible = model.encode(pictures[0]), model.encode(pictures[1])
    grid = (5, 8)

    singles = torch.cat(pictures)
    restored = model.decode(torch.cat([infrared, visible]), grid)
    assert torch.isclose(steps["decoder"](*pictures)[0], (restored - singles).square().mean())

    contour = model.compare(infrared, visible, grid)[0]
    assert torch.isclose(steps["cfm_align"](*pictures)[0], ((infrared + visible) / 2 - contour).square().mean())

    merged = model.merge(infrared, visible, contour, grid)[0]
    assert torch.isclose(steps["mfm_align"](*pictures)[0], ((infrared + visible) / 2 - merged).square().mean())

    for name, features in (("cfm_fuse", contour), ("mfm_fuse", merged)):
        fused = model.decode(features, grid)
        expected = intensity_loss(fused, *pictures) + 2 * gradient_loss(fused, *pictures)
        assert torch.isclose(steps[name](*pictures)[0], expected)
        assert torch.allclose(steps[name].decode(*pictures), fused)


def test_one_pair_can_be_overfitted(pictures):
    model = small_model(fusion_attention="local", merging_competition=True)
    losses = {}
    for stage in STAGES[1:]:
        step = GuidedStep(model, stage, WEIGHTS)
        optimizer = torch.optim.AdamW([p for p in step.parameters() if p.requires_grad], lr=5e-3)
        for _ in range(40):
            loss = step(pictures[0][:1], pictures[1][:1])[0]
            losses.setdefault(stage.name, []).append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert losses["cfm_align"][-1] < 0.5 * losses["cfm_align"][0]
    assert losses["mfm_fuse"][-1] < 0.9 * losses["mfm_fuse"][0]
