"""VIF of the image that is brought to the sources' brightness and contrast."""

import pytest
import torch

from maefuse_hf.metrics import visual_information_fidelity
from maefuse_hf.metrics.matched import matched_to_sources, matched_visual_information_fidelity


def grey(*levels: float) -> torch.Tensor:
    return torch.tensor(levels, dtype=torch.float64).view(1, 1, 2, 2)


def test_by_hand():
    # sources of means 40 and 60, deviations 20 and 40: mean 50, deviation 30; fused of mean 20, deviation 10
    infrared, visible = grey(20, 60, 20, 60), grey(20, 100, 20, 100)
    matched = matched_to_sources(grey(10, 30, 10, 30), infrared, visible)
    assert matched.flatten().tolist() == pytest.approx([20, 80, 20, 80])


def test_levels_are_clipped():
    matched = matched_to_sources(grey(0, 0, 0, 100), grey(0, 255, 0, 255), grey(0, 255, 0, 255))
    assert matched.max() == 255 and matched.min() > 0


def test_a_flat_image_takes_the_mean_brightness():
    matched = matched_to_sources(grey(7, 7, 7, 7), grey(20, 60, 20, 60), grey(20, 100, 20, 100))
    assert matched.flatten().tolist() == pytest.approx([50] * 4)


def test_stretched_contrast_changes_vif_and_not_the_matched_one():
    generator = torch.Generator().manual_seed(0)
    infrared, visible = (torch.rand(2, 1, 1, 16, 16, generator=generator, dtype=torch.float64) * 120 + 60).unbind()
    infrared, visible = (
        torch.nn.functional.interpolate(image, scale_factor=8, mode="bilinear") for image in (infrared, visible)
    )
    average = (infrared + visible) / 2
    stretched = (average - average.mean()) * 1.5 + average.mean()
    sources = (infrared, visible)
    assert visual_information_fidelity(stretched, *sources) > visual_information_fidelity(average, *sources) + 0.005
    values = [matched_visual_information_fidelity(image, *sources).item() for image in (average, stretched)]
    assert values[0] == pytest.approx(values[1], rel=1e-9)
