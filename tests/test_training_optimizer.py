import pytest
import torch

from training.config import OptimizerConfig
from training.optimizer import adamw


def rates(schedule, processes=1):
    config = OptimizerConfig(schedule=schedule, warmup_steps=2)
    optimizer, scheduler = adamw(torch.nn.Linear(2, 2), config, learning_rate=1.0, steps=10, processes=processes)
    seen = []
    for _ in range(10):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        for _ in range(processes):
            scheduler.step()
    return seen


def test_warmup_then_constant_or_cosine():
    assert rates("constant_with_warmup") == [0, 0.5, 1, 1, 1, 1, 1, 1, 1, 1]
    cosine = rates("cosine")
    assert cosine[:3] == [0, 0.5, 1]
    assert cosine[6] == pytest.approx(0.5)
    assert cosine[2:] == sorted(cosine[2:], reverse=True)


def test_the_schedule_lasts_as_long_on_several_processes():
    assert rates("cosine", processes=4) == pytest.approx(rates("cosine"))


def test_only_trainable_parameters_and_the_configured_moments():
    module = torch.nn.Linear(2, 2)
    module.bias.requires_grad_(False)
    config = OptimizerConfig(betas=(0.8, 0.7), weight_decay=0.3)
    group = adamw(module, config, 0.5, steps=1, processes=1)[0].param_groups[0]
    assert [id(p) for p in group["params"]] == [id(module.weight)]
    assert (group["lr"], group["betas"], group["weight_decay"]) == (0.5, (0.8, 0.7), 0.3)


def test_the_layer_of_trust_has_a_rate_of_its_own():
    module = torch.nn.ModuleDict({"decoder": torch.nn.ModuleDict({"weigh": torch.nn.Linear(2, 2)})})
    module["decoder"]["predict"] = torch.nn.Linear(2, 2)
    others, trust = adamw(module, OptimizerConfig(trust_rate=20.0), 0.5, steps=1, processes=1)[0].param_groups
    assert [id(p) for p in others["params"]] == [id(p) for p in module["decoder"]["predict"].parameters()]
    assert [id(p) for p in trust["params"]] == [id(p) for p in module["decoder"]["weigh"].parameters()]
    assert (others["lr"], trust["lr"]) == (0.5, 10.0)
