"""Metrics: hand-computed values, values of independent implementations (tests/golden), limits and bad input."""

import functools
import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from maefuse_hf.metrics import (
    DEFINITIONS,
    LOWER_IS_BETTER,
    average_gradient,
    correlation_coefficient,
    definitions_used,
    edge_preservation,
    entropy,
    fusion_artifacts,
    fusion_metrics,
    hot_target_survival,
    mean_squared_error,
    multi_scale_structural_similarity,
    mutual_information,
    peak_signal_to_noise_ratio,
    spatial_frequency,
    standard_deviation,
    structural_similarity,
    sum_of_correlations_of_differences,
    visual_information_fidelity,
)

GOLDEN = json.loads((Path(__file__).parent / "golden" / "metrics_scenes.json").read_text(encoding="utf-8"))
NAMES = ["EN", "SD", "SF", "AG", "MI", "CC", "SCD", "VIF", "Qabf", "SSIM", "MS-SSIM", "PSNR", "MSE", "Nabf"]
PRESETS = {
    ("SF", "vifb"): spatial_frequency,
    ("AG", "vifb"): average_gradient,
    ("MI", "cddfuse"): mutual_information,
    ("MI", "vifb"): mutual_information,
    ("Qabf", "symmetric"): edge_preservation,
    ("SSIM", "cddfuse"): structural_similarity,
    ("SSIM", "vifb"): structural_similarity,
    ("PSNR", "cddfuse"): peak_signal_to_noise_ratio,
    ("PSNR", "peak255"): peak_signal_to_noise_ratio,
    ("PSNR", "vifb"): peak_signal_to_noise_ratio,
    ("MSE", "cddfuse"): mean_squared_error,
    ("Nabf", "petrovic"): fusion_artifacts,
}
ON_ONE_IMAGE = (spatial_frequency, average_gradient)
SCENES = {"even": (176, 208), "odd": (163, 189)}


def render(height: int, width: int) -> dict[str, np.ndarray]:
    """A thermal and a visible image, and fused ones, in whole-number arithmetic that no platform can change."""
    noise = np.random.RandomState(height * width)
    y, x = np.mgrid[:height, :width]
    road = 40 + 60 * y // height
    thermal, photo = road + noise.randint(-2, 3, road.shape), 200 - 90 * y // height
    photo = np.where((x // 6 + y // 9) % 2 == 0, photo - 35, photo) + noise.randint(-9, 10, road.shape)
    for row, column, radius in ((50, 40, 9), (110, 120, 14), (90, 60, 5)):
        thermal[(y - row) ** 2 + (x - column) ** 2 < radius**2] = 230 - radius
    photo[120:150, 20:90] = 25
    thermal, photo = np.clip(thermal, 0, 255), np.clip(photo, 0, 255)
    difference = (thermal - thermal.mean().round()) - (photo - photo.mean().round())
    images = {
        "infrared": thermal,
        "visible": photo,
        "mean": np.rint((thermal + photo) / 2),
        "max": np.maximum(thermal, photo),
        "vivid": np.clip((3 * photo + 2 * np.abs(difference)) // 4 + noise.randint(-20, 21, road.shape), 0, 255),
        "fraction": (5 * thermal + 3 * photo) / 8,
    }
    return {name: image.astype(np.float64) for name, image in images.items()}


def digest(image: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(image, dtype="<f8").tobytes()).hexdigest()


def batch(*images) -> torch.Tensor:
    return torch.stack([torch.as_tensor(np.asarray(image, dtype=np.float64)) for image in images])[:, None]


def plain(value: float, height: int = 4, width: int = 4) -> torch.Tensor:
    return torch.full((1, 1, height, width), float(value), dtype=torch.float64)


def noise(seed: int, height: int = 176, width: int = 208) -> torch.Tensor:
    return batch(np.random.RandomState(seed).randint(0, 256, (height, width)))


@functools.cache
def scene(name: str) -> dict[str, torch.Tensor]:
    return {key: batch(image) for key, image in render(*SCENES[name]).items()}


def cases() -> list[str]:
    return [f"{name}/{fused}" for name in SCENES for fused in ("mean", "max", "vivid", "fraction", "visible")]


# --- golden values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCENES)
def test_golden_images_are_rendered_as_they_were(name):
    assert {key: digest(image) for key, image in render(*SCENES[name]).items()} == GOLDEN["images"][name]


@pytest.mark.parametrize("case", cases())
def test_all_metrics_equal_the_reference(case):
    name, fused = case.split("/")
    images = scene(name)
    ours = fusion_metrics(images[fused], images["infrared"], images["visible"], allow_undefined=fused == "visible")
    assert list(ours) == NAMES
    for metric, expected in GOLDEN["reference"][case].items():
        assert ours[metric].dtype == torch.float64 and ours[metric].shape == (1,)
        wanted = math.nan if expected is None else expected
        assert ours[metric].item() == pytest.approx(wanted, rel=1e-9, abs=1e-12, nan_ok=True), metric


@pytest.mark.parametrize("case", cases())
def test_presets_equal_the_reference(case):
    name, fused = case.split("/")
    images = scene(name)
    arguments = (images[fused], images["infrared"], images["visible"])
    for (metric, definition), compute in PRESETS.items():
        ours = compute(*arguments[: 1 if compute in ON_ONE_IMAGE else 3], definition=definition).item()
        expected = GOLDEN["presets"][case][f"{metric} {definition}"]
        assert ours == pytest.approx(expected, rel=1e-9, abs=1e-12), (metric, definition)


@pytest.mark.parametrize("case", GOLDEN["piq"])
def test_similarity_equals_piq(case):
    name, fused = case.split("/")
    images = scene(name)
    ours = fusion_metrics(images[fused], images["infrared"], images["visible"], allow_undefined=True)
    for metric, expected in GOLDEN["piq"][case].items():
        assert ours[metric].item() == pytest.approx(expected, abs=1e-8), metric


@pytest.mark.parametrize("case", cases())
def test_hot_target_survival_equals_the_reference(case):
    name, fused = case.split("/")
    images = scene(name)
    ours = hot_target_survival(images[fused], images["infrared"], images["visible"])
    for measure, expected in GOLDEN["hot_targets"][case].items():
        assert ours[measure].item() == pytest.approx(expected, rel=1e-9, abs=1e-12), measure


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_entropy_by_hand():
    images = batch([[0, 0], [255, 255]], [[0, 1], [2, 3]], [[7, 7], [7, 7]], [[0, 0], [0, 9]])
    assert entropy(images).tolist() == pytest.approx([1, 2, 0, 2 - 0.75 * math.log2(3)])


def test_entropy_and_mutual_information_round_halves_to_even():
    image, rounded = batch([[0.5, 1.5], [2.5, 2.4]]), batch([[0, 2], [2, 2]])
    assert entropy(image).item() == entropy(rounded).item()
    assert mutual_information(image, image, image).item() == pytest.approx(2 * entropy(rounded).item())


def test_standard_deviation_by_hand():
    assert standard_deviation(batch([[0, 0], [255, 255]], [[1, 2], [3, 4]])).tolist() == pytest.approx(
        [127.5, math.sqrt(1.25)]
    )


def test_spatial_frequency_by_hand():
    image = batch([[0, 3], [4, 7]])
    assert spatial_frequency(image).item() == pytest.approx(5)
    assert spatial_frequency(image, definition="vifb").item() == pytest.approx(math.sqrt((2 * 9 + 2 * 16) / 4))


def test_average_gradient_by_hand():
    assert average_gradient(batch([[0, 3], [4, 7]])).item() == pytest.approx(5 / math.sqrt(2))
    ramp = batch([[0, 2, 8]] * 3)
    assert average_gradient(ramp).item() == pytest.approx((2 + 4 + 6) / 3 / math.sqrt(2))
    assert average_gradient(ramp, definition="vifb").item() == pytest.approx(3 * (2 + 4 + 6) / 4 / math.sqrt(2))


def test_mutual_information_by_hand():
    fused, independent = batch([[0, 0], [255, 255]]), batch([[0, 255], [0, 255]])
    assert mutual_information(fused, fused, independent).item() == pytest.approx(1)
    assert mutual_information(fused, fused, fused, definition="cddfuse").item() == pytest.approx(2 * math.log(2))


def test_correlations_by_hand():
    infrared, visible = batch([[0, 0], [100, 100]]), batch([[0, 100], [0, 100]])
    average, total = (infrared + visible) / 2, infrared + visible
    assert correlation_coefficient(average, infrared, visible).item() == pytest.approx(math.sqrt(1 / 2))
    assert correlation_coefficient(visible, infrared, visible).item() == pytest.approx(1 / 2)
    assert sum_of_correlations_of_differences(average, infrared, visible).item() == pytest.approx(math.sqrt(2))
    assert sum_of_correlations_of_differences(total, infrared, visible).item() == pytest.approx(2)


def test_errors_by_hand():
    trio = (plain(51), plain(0), plain(255))
    error = (0.2**2 + 0.8**2) / 2
    assert mean_squared_error(*trio).item() == pytest.approx(error)
    assert mean_squared_error(*trio, definition="cddfuse").item() == pytest.approx(error * 255**2)
    assert peak_signal_to_noise_ratio(*trio).item() == pytest.approx(10 * math.log10(1 / error))
    expected = {
        "cddfuse": 51**2 / (error * 255**2),
        "peak255": 255**2 / error,
        "vifb": 255**2 / ((4 * 51 + 4 * 204) / 16 / 2),
    }
    for definition, ratio in expected.items():
        ours = peak_signal_to_noise_ratio(*trio, definition=definition).item()
        assert ours == pytest.approx(10 * math.log10(ratio))


def test_structural_similarity_of_constant_images_by_hand():
    trio = (plain(100, 161, 161), plain(50, 161, 161), plain(100, 161, 161))
    luminance = (2 * 100 * 50 + 2.55**2) / (100**2 + 50**2 + 2.55**2)
    assert structural_similarity(*trio).item() == pytest.approx((luminance + 1) / 2)
    assert structural_similarity(*trio, definition="vifb").item() == pytest.approx(luminance + 1)
    of_range_2 = (2 * 100 * 50 + 0.02**2) / (100**2 + 50**2 + 0.02**2)
    assert structural_similarity(*trio, definition="cddfuse").item() == pytest.approx(of_range_2 + 1, abs=1e-9)
    assert multi_scale_structural_similarity(*trio).item() == pytest.approx((luminance**0.1333 + 1) / 2)


def test_structural_similarity_of_one_window_by_hand():
    step = np.tile(np.sign(np.arange(11) - 5) * 20, (11, 1))
    image, negative = batch(128 + step), batch(128 - step)
    centre = 1 / sum(math.exp(-(k**2) / 4.5) for k in range(-5, 6))
    variance = 20**2 * (1 - centre)
    inverted = (-2 * variance + 7.65**2) / (2 * variance + 7.65**2)
    assert structural_similarity(image, negative, negative).item() == pytest.approx(inverted)
    assert structural_similarity(image, negative, image).item() == pytest.approx((inverted + 1) / 2)


def test_visual_information_fidelity_of_a_ramp_by_hand():
    """On a ramp every window of a scale has the same variance: the slope squared times that of the Gaussian."""
    ramp = batch(np.tile(np.arange(41.0) * 4, (41, 1)))
    halved, kept, present = ramp / 2, 0.0, 0.0
    for slope, window, windows in ((4, 17, 25**2), (8, 9, 9**2), (16, 5, 3**2), (32, 3, 1)):
        places = range(-(window // 2), window // 2 + 1)
        bell = {place: math.exp(-(place**2) / (2 * (window / 5) ** 2)) for place in places}
        variance = slope**2 * sum(place**2 * value for place, value in bell.items()) / sum(bell.values())
        kept += windows * math.log(1 + variance / 4 / 2)
        present += windows * math.log(1 + variance / 2)
    assert visual_information_fidelity(halved, ramp, ramp).item() == pytest.approx(2 * kept / present)


def test_edge_preservation_by_hand():
    """Plain images of 2×2 px have four equal edges, at 45°, against the zeros around them."""
    sources = plain(100, 2, 2)
    same_direction = 0.9879 / (1 + math.exp(-22 * (1 - 0.8)))
    half_strength = 0.9994 / (1 + math.exp(0))
    for definition in ("standard", "symmetric"):
        ours = edge_preservation(plain(50, 2, 2), sources, sources, definition=definition).item()
        assert ours == pytest.approx(half_strength * same_direction)
    equal = {"standard": 300 * math.sqrt(2), "symmetric": 1}
    for definition, likeness in equal.items():
        ours = edge_preservation(sources, sources, sources, definition=definition).item()
        assert ours == pytest.approx(0.9994 / (1 + math.exp(-15 * (likeness - 0.5))) * same_direction, rel=1e-12)
    no_strength = 0.9994 / (1 + math.exp(7.5))
    directions = [0.9879 / (1 + math.exp(-22 * (likeness - 0.8))) for likeness in (0.5, -0.5)]
    ours = edge_preservation(plain(0, 2, 2), sources, sources).item()
    assert ours == pytest.approx(no_strength * sum(directions) / 2)


def test_fusion_artifacts_by_hand():
    """Columns 0, 8, 16 have an edge of strength 8 in the middle column, and none where they are mirrored."""
    ramp, steep, flat = batch([[0, 8, 16]] * 3), batch([[0, 16, 32]] * 3), plain(9, 3, 3)
    lost = 1 - math.sqrt(0.9999 / (1 + math.exp(19 * 0.5)) * 0.9995 / (1 + math.exp(22 * 0.5)))
    assert fusion_artifacts(ramp, flat, flat).item() == pytest.approx(lost / 3)
    assert fusion_artifacts(ramp, flat, flat, definition="petrovic").item() == pytest.approx(2 * lost / 3)
    half_lost = 1 - math.sqrt(0.9999 / 2 * 0.9995 / (1 + math.exp(-22 * 0.5)))
    weight, weak = 8**1.5, 0.001
    ours = fusion_artifacts(steep, ramp, flat).item()
    assert ours == pytest.approx(3 * (half_lost * weight + lost * weak) / (3 * weight + 15 * weak))


def hot_square_on_stripes() -> tuple[torch.Tensor, torch.Tensor]:
    """A hot square on even ground, and a visible image that has stripes far from it: one edge never meets another."""
    infrared, visible = np.full((64, 96), 60.0), np.full((64, 96), 120.0)
    infrared[20:30, 10:20] = 180
    visible[:, 60:] += 40 * (np.arange(36) // 6 % 2)
    return batch(infrared), batch(visible)


def test_hot_target_survival_by_construction():
    infrared, visible = hot_square_on_stripes()
    average, dimmed = (infrared + visible) / 2, 60 + (infrared - 60) / 4
    added = (visible - 60) + (infrared - 60)
    expected = [(infrared, 1, 0), (visible, 0, 1), (average, 1 / 2, 1 / 2), (dimmed, 1 / 4, 0), (added, 1, 1)]
    expected += [(255 - infrared, 0, 0), (255 - visible, 0, 0), (plain(90, 64, 96), 0, 0)]
    # Twice the contrast is no more than all of it.
    expected += [(2 * infrared - 120, 1, 0), (1.5 * visible - 60, 0, 1)]
    for fused, hot, gradient in expected:
        ours = hot_target_survival(fused, infrared, visible)
        assert ours["hot_contrast"].item() == pytest.approx(hot, abs=1e-12)
        assert ours["visible_gradient"].item() == pytest.approx(gradient, abs=1e-12)


def test_an_amplified_hot_target_makes_up_for_no_lost_one():
    infrared, visible = batch(np.full((64, 160), 60.0)), noise(0, 64, 160)
    infrared[..., 20:30, 10:20] = infrared[..., 20:30, 130:140] = 120
    fused = plain(60, 64, 160)
    fused[..., 20:30, 10:20] = 240
    assert hot_target_survival(fused, infrared, visible)["hot_contrast"].item() == pytest.approx(1 / 2)


# --- limits ----------------------------------------------------------------------------------------------------------


def test_three_equal_images_reach_every_maximum():
    image = scene("even")["visible"]
    ours = fusion_metrics(image, image, image, allow_undefined=True)
    expected = {"MI": 2 * ours["EN"].item(), "CC": 1, "VIF": 2, "SSIM": 1, "MS-SSIM": 1, "PSNR": math.inf}
    expected |= {"MSE": 0, "Nabf": 0, "SCD": math.nan}
    for metric, value in expected.items():
        assert ours[metric].item() == pytest.approx(value, abs=1e-9, nan_ok=True), metric
    assert ours["Qabf"].item() == pytest.approx(0.9753, abs=1e-4)
    for definition in ("cddfuse", "peak255", "vifb"):
        black = plain(0)
        assert peak_signal_to_noise_ratio(black, black, black, definition=definition).item() == math.inf


@pytest.mark.parametrize("source", ["infrared", "visible"])
def test_a_fused_image_equal_to_a_source_has_the_greatest_share_of_it(source):
    images = scene("even")
    trio = (images[source], images["infrared"], images["visible"])
    others = [name for name in ("mean", "max", "vivid") if name != source]
    for compute in (mutual_information, visual_information_fidelity):
        of_others = [compute(images[name], images[source], images[source]).item() for name in others]
        assert compute(images[source], images[source], images[source]).item() > max(of_others)
    assert fusion_artifacts(*trio).item() == 0
    with pytest.raises(ValueError, match=r"SCD has no value for image \[0\] of this batch of 176×208 px"):
        fusion_metrics(*trio)


def test_noise_scores_on_sharpness_and_nowhere_else():
    images = scene("even")
    sources = (images["infrared"], images["visible"])
    of_noise, of_mean = fusion_metrics(noise(1), *sources), fusion_metrics(images["mean"], *sources)
    for metric in ("EN", "SD", "SF", "AG", "Nabf"):
        assert of_noise[metric].item() > of_mean[metric].item(), metric
    for metric in ("CC", "SCD", "VIF", "Qabf", "SSIM", "MS-SSIM", "PSNR"):
        assert of_noise[metric].item() < of_mean[metric].item(), metric
    assert abs(of_noise["CC"].item()) < 0.02
    assert all(value.item() < 0.1 for value in hot_target_survival(noise(1), *sources).values())


def test_correlation_keeps_its_bound():
    images = scene("odd")
    infrared, visible = images["infrared"], images["visible"]
    r = 2 * correlation_coefficient(visible, infrared, visible).item() - 1
    best = 127 + 20 * (infrared / infrared.std() + visible / visible.std())
    best = best - best.mean() + 127
    bound = math.sqrt((1 + r) / 2)
    assert correlation_coefficient(best, infrared, visible).item() == pytest.approx(bound)
    assert correlation_coefficient(images["max"], infrared, visible).item() < bound


def test_a_constant_fused_image_has_defined_values():
    images = scene("even")
    sources = (images["infrared"], images["visible"])
    grey = plain(90, *SCENES["even"])
    ours = fusion_metrics(grey, *sources, allow_undefined=True)
    undefined = {metric for metric, value in ours.items() if value.isnan()}
    assert undefined == {"CC"}
    assert {metric for metric in NAMES if ours[metric].item() == 0} == {
        "EN",
        "SD",
        "SF",
        "AG",
        "MI",
        "VIF",
        "Nabf",
    }
    # F − V = −V + constant, so that both correlations are −r(I, V).
    r = 2 * correlation_coefficient(sources[0], *sources).item() - 1
    assert ours["SCD"].item() == pytest.approx(-2 * r)


@pytest.mark.parametrize("value", [0, 90, 90.3])
def test_constant_sources_have_an_error_or_a_value(value):
    flat, fused = plain(value, *SCENES["even"]), scene("even")["visible"]
    ours = fusion_metrics(fused, flat, flat, allow_undefined=True)
    undefined = {metric for metric, number in ours.items() if number.isnan()}
    assert undefined == {"CC", "SCD", "VIF"} | ({"Qabf"} if value == 0 else set())
    assert ours["MI"].item() == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match=r"CC has no value .* contrast in all three images"):
        correlation_coefficient(fused, flat, flat)
    with pytest.raises(ValueError, match=r"VIF has no value .* sources with contrast"):
        visual_information_fidelity(fused, flat, flat)
    with pytest.raises(ValueError, match=r"hot_contrast has no value .* above mean \+ 2·SD"):
        hot_target_survival(fused, flat, fused)
    with pytest.raises(ValueError, match=r"visible_gradient has no value .* a visible image with contrast"):
        hot_target_survival(fused, hot_square_on_stripes()[0].repeat(1, 1, 3, 3)[..., :176, :208], flat)


def test_an_offset_within_rounding_is_no_difference():
    visible = scene("even")["visible"].clamp(max=200).float()
    offset = visible + 10.3
    with pytest.raises(ValueError, match="SCD has no value"):
        sum_of_correlations_of_differences(offset, scene("even")["infrared"].float(), visible)


def test_small_images_say_what_they_lack():
    for side, metric, compute in (
        (160, "MS-SSIM", multi_scale_structural_similarity),
        (40, "VIF", visual_information_fidelity),
        (10, "SSIM", structural_similarity),
    ):
        small, enough = noise(2, side, 300), noise(2, side + 1, 300)
        with pytest.raises(ValueError, match=rf"{metric} has no value .*{side}×300 px.* at least {side + 1} px"):
            compute(small, small, small)
        assert compute(small, small, small, allow_undefined=True).isnan().all()
        assert compute(enough, enough, enough).isfinite().all()


# --- batches, dtypes and bad input -----------------------------------------------------------------------------------


def test_an_image_alone_is_as_in_a_batch():
    images = scene("odd")
    fused = torch.cat([images[name] for name in ("mean", "vivid", "max", "fraction")])
    infrared, visible = images["infrared"].expand_as(fused), images["visible"].flip(3).expand_as(fused)
    together = fusion_metrics(fused, infrared, visible) | hot_target_survival(fused, infrared, visible)
    for place in range(4):
        trio = (fused[place : place + 1], infrared[:1], visible[:1])
        alone = fusion_metrics(*trio) | hot_target_survival(*trio)
        for metric, values in together.items():
            assert values.shape == (4,)
            assert values[place].item() == pytest.approx(alone[metric].item(), rel=1e-12, abs=1e-14), metric


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_dtypes_agree(dtype):
    images = scene("even")
    trio = [images[name] for name in ("vivid", "infrared", "visible")]
    ours, expected = fusion_metrics(*(image.to(dtype) for image in trio)), fusion_metrics(*trio)
    assert {metric: value.item() for metric, value in ours.items()} == {
        metric: value.item() for metric, value in expected.items()
    }


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_the_cpu():
    trio = [scene("odd")[name] for name in ("vivid", "infrared", "visible")]
    on_cuda = [image.cuda() for image in trio]
    expected = fusion_metrics(*trio) | hot_target_survival(*trio)
    for metric, value in (fusion_metrics(*on_cuda) | hot_target_survival(*on_cuda)).items():
        assert value.is_cuda
        assert value.item() == pytest.approx(expected[metric].item(), rel=1e-9, abs=1e-12), metric


def test_one_undefined_image_leaves_the_others_of_a_batch():
    images = scene("even")
    fused = torch.cat((images["mean"], images["visible"]))
    pair = [images[name].expand_as(fused) for name in ("infrared", "visible")]
    with pytest.raises(ValueError, match=r"SCD has no value for image \[1\]"):
        fusion_metrics(fused, *pair)
    scd = fusion_metrics(fused, *pair, allow_undefined=True)["SCD"]
    assert scd.isnan().tolist() == [False, True]


def test_the_field_codes_see_a_mirrored_scene_differently_and_the_symmetric_definition_does_not():
    trio = [scene("odd")[name] for name in ("vivid", "infrared", "visible")]
    mirrored = [image.flip(3) for image in trio]
    field, symmetric = (
        [edge_preservation(*images, definition=definition).item() for images in (trio, mirrored)]
        for definition in ("standard", "symmetric")
    )
    assert abs(field[0] - field[1]) > 1e-5
    assert symmetric[0] == pytest.approx(symmetric[1], rel=1e-12)


@pytest.mark.parametrize(
    ("fused", "message"),
    [
        (torch.rand(1, 1, 4, 4), r"fused looks like an image in 0…1; metrics need 0…255\. Multiply by 255"),
        (plain(3)[0], r"fused must be a torch.Tensor of shape \(B, 1, H, W\).*got the shape \(1, 4, 4\)"),
        (plain(3).repeat(1, 3, 1, 1), r"one luminance channel; got the shape \(1, 3, 4, 4\)"),
        (np.zeros((1, 1, 4, 4)), "got ndarray"),
        (plain(3).int(), r"fused must be uint8 or floating in 0…255, got torch.int32"),
        (plain(math.nan), "fused holds NaN or infinity"),
        (plain(math.inf), "fused holds NaN or infinity"),
        (plain(-1), "fused must lie in 0…255; its values go from -1 to -1"),
        (plain(65535), "its values go from 65535 to 65535"),
        (plain(3, 4, 5), r"fused and infrared differ in shape: \(1, 1, 4, 5\) and \(1, 1, 4, 4\)"),
        (plain(3, 1, 4), "at least 2 px a side"),
        (plain(3)[:0], "at least one image"),
        (plain(3).to("meta"), "infrared is on cpu|fused is on meta, infrared on cpu"),
    ],
)
def test_bad_images_are_refused(fused, message):
    with pytest.raises(ValueError, match=message):
        fusion_metrics(fused, plain(1).byte(), plain(200))
    with pytest.raises(ValueError, match=message):
        mean_squared_error(fused, plain(1).byte(), plain(200))


def test_one_image_in_0_to_1_is_found_in_a_batch_and_dark_uint8_is_not():
    with pytest.raises(ValueError, match="looks like an image in 0…1"):
        entropy(torch.cat((plain(200), plain(1))))
    assert entropy(torch.cat((plain(200), plain(0)))).tolist() == [0, 0]
    assert entropy(plain(1).byte()).item() == 0


def test_an_unknown_definition_lists_those_there_are():
    with pytest.raises(ValueError, match="MI has no definition 'bits'; it has 'standard', 'cddfuse', 'vifb'"):
        mutual_information(plain(2), plain(2), plain(2), definition="bits")


def test_the_list_of_definitions_is_whole():
    assert {(metric, name) for name, metrics in DEFINITIONS.items() for metric in metrics} == set(PRESETS)
    assert DEFINITIONS["standard"] == frozenset() and set(NAMES) > LOWER_IS_BETTER
    with pytest.raises(ValueError, match="no definition 'vif'; it has 'standard', 'cddfuse', 'vifb', 'peak255'"):
        definitions_used("vif")


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_all_metrics_by_one_definition(definition):
    fused, infrared, visible = torch.rand(3, 1, 1, 170, 165, generator=torch.Generator().manual_seed(4)) * 255
    values = fusion_metrics(fused, infrared, visible, definition=definition)
    expected = fusion_metrics(fused, infrared, visible)
    for (metric, name), function in PRESETS.items():
        if name == definition:
            images = (fused,) if function in ON_ONE_IMAGE else (fused, infrared, visible)
            expected[metric] = function(*images, definition=name)
            assert values[metric] != fusion_metrics(fused, infrared, visible)[metric]
            assert definitions_used(name)(metric) == name
    assert values == expected and list(values) == NAMES
    assert definitions_used(definition)("EN") == "standard"
