"""AdamW over what is trainable, and its learning-rate schedule."""

from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler
from transformers import get_scheduler

from training.config import OptimizerConfig

TRUST_LAYER = "decoder.weigh."
"""Part of the names of the parameters whose rate is `trust_rate` times the others'."""


def adamw(
    module: nn.Module, config: OptimizerConfig, learning_rate: float, steps: int, processes: int
) -> tuple[torch.optim.AdamW, LRScheduler]:
    """AdamW and its schedule for the parameters of `module` that have a gradient.

    Args:
        module: what is trained.
        config: schedule, decay, moments.
        learning_rate: its peak.
        steps: optimizer steps of the run.
        processes: how many run side by side; accelerate moves a prepared schedule on by as many steps at once.
    """
    trainable = [(TRUST_LAYER in name, value) for name, value in module.named_parameters() if value.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [value for of_trust, value in trainable if not of_trust]},
        {
            "params": [value for of_trust, value in trainable if of_trust],
            "lr": config.trust_rate * learning_rate,
        },
    ]
    optimizer = torch.optim.AdamW(
        groups,
        lr=learning_rate,
        betas=config.betas,
        weight_decay=config.weight_decay,
    )
    return optimizer, get_scheduler(config.schedule, optimizer, config.warmup_steps * processes, steps * processes)
