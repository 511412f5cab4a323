"""Fusion metrics on batches of luminance images; docs/metrics.md tells what each of them is worth."""

from collections.abc import Callable

from torch import Tensor

from .edges import edge_preservation, fusion_artifacts
from .information import entropy, mutual_information
from .inputs import check_images, chosen
from .similarity import (
    multi_scale_structural_similarity,
    structural_similarity,
    visual_information_fidelity,
)
from .statistics import (
    average_gradient,
    correlation_coefficient,
    mean_squared_error,
    peak_signal_to_noise_ratio,
    spatial_frequency,
    standard_deviation,
    sum_of_correlations_of_differences,
)

DEFINITIONS = {
    "standard": frozenset[str](),
    "cddfuse": frozenset({"MI", "SSIM", "MSE", "PSNR"}),
    "vifb": frozenset({"SF", "AG", "MI", "SSIM", "PSNR"}),
    "peak255": frozenset({"PSNR"}),
    "symmetric": frozenset({"Qabf"}),
    "petrovic": frozenset({"Nabf"}),
}
"""Name of a definition to the metrics that have one of that name besides their standard one."""

LOWER_IS_BETTER = frozenset({"MSE", "Nabf"})


def definitions_used(definition: str) -> Callable[[str], str]:
    """From a metric's name to the definition it is computed by: the named one if it has it, else its standard one.

    Raises:
        ValueError: no metric has a definition of that name; lists those there are.
    """
    changed = chosen("fusion_metrics", DEFINITIONS, definition)
    return lambda metric: definition if metric in changed else "standard"


def fusion_metrics(
    fused: Tensor, infrared: Tensor, visible: Tensor, *, definition: str = "standard", allow_undefined: bool = False
) -> dict[str, Tensor]:
    """All metrics of fused images against their sources.

    Published tables are measured on saved 8-bit images: round floating images first to compare with them. EN and
    MI round by themselves, the others take the values as they are. Nothing is differentiable.

    Args:
        fused, infrared, visible: luminance (B, 1, H, W) in 0…255, uint8 or floating, of one size and on one device.
        definition: "standard", or another name in `DEFINITIONS`: the metrics that have a definition of that name are
            computed by it, the others by their standard one.
        allow_undefined: give NaN where a metric has no value, not an error: SCD where the fused image is one of the
            sources, CC, SCD, VIF and Qabf on images without contrast, and MS-SSIM, VIF and SSIM below 161, 41 and
            11 px a side.

    Returns:
        EN, SD, SF, AG, MI, CC, SCD, VIF, Qabf, SSIM, MS-SSIM, PSNR, MSE and Nabf, each (B,) float64 on the images'
        device. Lower is better for MSE and Nabf, higher for all others.

    Raises:
        ValueError: images that `check_images` refuses, one that a metric has no value for, or an unknown
            definition.
    """
    used = definitions_used(definition)
    check_images(fused=fused, infrared=infrared, visible=visible)
    trio = (fused, infrared, visible)
    return {
        "EN": entropy(fused),
        "SD": standard_deviation(fused),
        "SF": spatial_frequency(fused, definition=used("SF")),
        "AG": average_gradient(fused, definition=used("AG")),
        "MI": mutual_information(*trio, definition=used("MI")),
        "CC": correlation_coefficient(*trio, allow_undefined=allow_undefined),
        "SCD": sum_of_correlations_of_differences(*trio, allow_undefined=allow_undefined),
        "VIF": visual_information_fidelity(*trio, allow_undefined=allow_undefined),
        "Qabf": edge_preservation(*trio, definition=used("Qabf"), allow_undefined=allow_undefined),
        "SSIM": structural_similarity(*trio, definition=used("SSIM"), allow_undefined=allow_undefined),
        "MS-SSIM": multi_scale_structural_similarity(*trio, allow_undefined=allow_undefined),
        "PSNR": peak_signal_to_noise_ratio(*trio, definition=used("PSNR")),
        "MSE": mean_squared_error(*trio, definition=used("MSE")),
        "Nabf": fusion_artifacts(*trio, definition=used("Nabf")),
    }
