"""What costs nothing: by hand."""

import torch

from maefuse_hf.evaluation.baselines import BASELINES, average_with_detail, on_grey_levels
from maefuse_hf.evaluation.rule import rule


def test_the_rule_on_grey_levels_is_the_rule_rounded():
    generator = torch.Generator().manual_seed(0)
    infrared, visible = torch.randint(0, 256, (2, 1, 1, 32, 40), generator=generator, dtype=torch.uint8)
    fused = BASELINES["rule"](infrared, visible)
    expected = (rule(infrared / 255, visible / 255) * 255).round()
    assert fused.dtype == torch.uint8 and torch.equal(fused, expected.to(torch.uint8))


def test_formulas_are_clipped_and_rounded():
    levels = on_grey_levels(lambda infrared, visible: infrared * 2 - visible)
    infrared, visible = torch.tensor([[100, 200, 0]], dtype=torch.uint8), torch.tensor([[99, 0, 9]], dtype=torch.uint8)
    assert levels(infrared, visible).tolist() == [[101, 255, 0]]


def test_detail_goes_into_an_average_whose_contrast_stays():
    # flat sources: the average itself
    infrared, visible = torch.full((1, 1, 32, 32), 0.2), torch.full((1, 1, 32, 32), 0.6)
    assert torch.allclose(average_with_detail(infrared, visible), torch.tensor(0.4), atol=1e-6)
    # a fine stripe of one source keeps its contrast, of which the average has half
    visible = visible + 0.1 * (torch.arange(32) % 2)
    fused = average_with_detail(infrared, visible)[..., 16, 16:18].flatten()
    assert torch.isclose((fused[0] - fused[1]).abs(), torch.tensor(0.1), atol=0.01)
