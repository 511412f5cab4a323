"""Fusion metrics on batches of luminance pictures; docs/metrics.md tells what each of them is worth."""

from torch import Tensor

from .metrics_edges import edge_preservation, fusion_artifacts
from .metrics_information import entropy, mutual_information
from .metrics_inputs import check_pictures
from .metrics_similarity import (
    multi_scale_structural_similarity,
    structural_similarity,
    visual_information_fidelity,
)
from .metrics_statistics import (
    average_gradient,
    correlation_coefficient,
    mean_squared_error,
    peak_signal_to_noise_ratio,
    spatial_frequency,
    standard_deviation,
    sum_of_correlations_of_differences,
)
from .metrics_targets import hot_target_survival

__all__ = [
    "average_gradient",
    "correlation_coefficient",
    "edge_preservation",
    "entropy",
    "fusion_artifacts",
    "fusion_metrics",
    "hot_target_survival",
    "mean_squared_error",
    "multi_scale_structural_similarity",
    "mutual_information",
    "peak_signal_to_noise_ratio",
    "spatial_frequency",
    "standard_deviation",
    "structural_similarity",
    "sum_of_correlations_of_differences",
    "visual_information_fidelity",
]


def fusion_metrics(
    fused: Tensor, infrared: Tensor, visible: Tensor, *, allow_undefined: bool = False
) -> dict[str, Tensor]:
    """All metrics of fused pictures against their sources, each under its standard definition.

    Published tables are measured on saved 8-bit pictures: round floating pictures first to compare with them. EN and
    MI round by themselves, the others take the values as they are. Nothing is differentiable.

    Args:
        fused, infrared, visible: luminance (B, 1, H, W) in 0…255, uint8 or floating, of one size and on one device.
        allow_undefined: give NaN where a metric has no value, not an error: SCD where the fused picture is one of the
            sources, CC, SCD, VIF and Qabf on pictures without contrast, and MS-SSIM, VIF and SSIM below 161, 41 and
            11 px a side.

    Returns:
        EN, SD, SF, AG, MI, CC, SCD, VIF, Qabf, SSIM, MS-SSIM, PSNR, MSE and Nabf, each (B,) float64 on the pictures'
        device. Lower is better for MSE and Nabf, higher for all others.

    Raises:
        ValueError: pictures that `check_pictures` refuses, or one that a metric has no value for.
    """
    check_pictures(fused=fused, infrared=infrared, visible=visible)
    trio = (fused, infrared, visible)
    return {
        "EN": entropy(fused),
        "SD": standard_deviation(fused),
        "SF": spatial_frequency(fused),
        "AG": average_gradient(fused),
        "MI": mutual_information(*trio),
        "CC": correlation_coefficient(*trio, allow_undefined=allow_undefined),
        "SCD": sum_of_correlations_of_differences(*trio, allow_undefined=allow_undefined),
        "VIF": visual_information_fidelity(*trio, allow_undefined=allow_undefined),
        "Qabf": edge_preservation(*trio, allow_undefined=allow_undefined),
        "SSIM": structural_similarity(*trio, allow_undefined=allow_undefined),
        "MS-SSIM": multi_scale_structural_similarity(*trio, allow_undefined=allow_undefined),
        "PSNR": peak_signal_to_noise_ratio(*trio),
        "MSE": mean_squared_error(*trio),
        "Nabf": fusion_artifacts(*trio),
    }
