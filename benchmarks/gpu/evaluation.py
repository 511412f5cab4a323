"""All fusion metrics of an image on the device, beside the CPU."""

from collections.abc import Sequence

import torch

from benchmarks.gpu.cases import Case, Row, Setting
from benchmarks.metrics_speed import all_metrics, rendered_images
from benchmarks.timing import CPU, in_turns, medians


def metrics(setting: Setting) -> Sequence[Case]:
    """Their seconds, and the largest relative difference of a value."""

    def measure() -> list[Row]:
        images = {device: rendered_images(setting.size, device) for device in (setting.device, CPU)}
        seconds, values = {}, {}
        for device, trio in images.items():
            turns = in_turns(
                {"metrics": lambda trio=trio: all_metrics(*trio)},
                setting.rounds,
                warm_up=setting.warm_up,
                device=device,
            )
            seconds[device] = medians(turns)["metrics"]
            values[device] = torch.stack([value.double().cpu().reshape(()) for value in all_metrics(*trio).values()])
        here, there = values[setting.device], values[CPU]
        difference = ((here - there).abs() / there.abs().clamp_min(1e-12)).max().item()
        return [{"seconds": seconds[setting.device], "seconds on the CPU": seconds[CPU], "difference": difference}]

    return [Case("all metrics of an image", measure)]
