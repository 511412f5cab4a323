"""AdamW over what is trainable, and its learning-rate schedule."""

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler
from transformers import get_scheduler

from training.config import OptimizerConfig


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
    optimizer = torch.optim.AdamW(
        [parameter for parameter in module.parameters() if parameter.requires_grad],
        lr=learning_rate,
        betas=config.betas,
        weight_decay=config.weight_decay,
    )
    return optimizer, get_scheduler(config.schedule, optimizer, config.warmup_steps * processes, steps * processes)
