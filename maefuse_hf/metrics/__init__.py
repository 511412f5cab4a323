"""Fusion metrics on batches of luminance images; docs/metrics.md tells what each of them is worth."""

from .edges import edge_preservation, fusion_artifacts
from .fusion import DEFINITIONS, LOWER_IS_BETTER, definitions_used, fusion_metrics
from .information import entropy, mutual_information
from .similarity import multi_scale_structural_similarity, structural_similarity, visual_information_fidelity
from .statistics import (
    average_gradient,
    correlation_coefficient,
    mean_squared_error,
    peak_signal_to_noise_ratio,
    spatial_frequency,
    standard_deviation,
    sum_of_correlations_of_differences,
)
from .targets import hot_target_survival

__all__ = [
    "DEFINITIONS",
    "LOWER_IS_BETTER",
    "average_gradient",
    "correlation_coefficient",
    "definitions_used",
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
