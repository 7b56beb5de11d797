"""The fused optimisers against torch's plain ones."""

from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from torch.optim import SGD, Adam

from robench.check import tiny
from robench.data.load import Data
from robench.seeds import seeded
from robench.threat import Threat
from robench.training.course import Course
from robench.training.epochs import new_run
from robench.training.method import method
from robench.training.recipe import Recipe


@pytest.mark.parametrize("name", ["sgd", "adam"])
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_updates_are_the_plain_ones(
    data: Data, name: Literal["sgd", "adam"], momentum: float, nesterov: bool, weight_decay: float
) -> None:
    recipe = replace(
        tiny.RECIPE, optimizer=name, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay
    )
    ours, plain = tiny.classifier().double(), tiny.classifier().double()
    plain.load_state_dict(ours.state_dict())
    run = new_run(data, Threat("Linf", 0.1), recipe)
    optimizer = Course(method("natural"), ours, recipe, run, 0).begin_stage()
    other = _plain(recipe, plain, weight_decay)
    with seeded(0):
        for step in range(5):
            rate = recipe.lr / (1 + step)
            for group in (*optimizer.param_groups, *other.param_groups):
                group["lr"] = rate
            for one, two in zip(ours.parameters(), plain.parameters(), strict=True):
                one.grad = torch.randn_like(one)
                two.grad = one.grad.clone()
            optimizer.step()
            other.step()
    for one, two in zip(ours.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(one, two, rtol=1e-12, atol=1e-14)


def _plain(recipe: Recipe, model: torch.nn.Module, weight_decay: float) -> torch.optim.Optimizer:
    loop: dict[str, Any] = {"foreach": False, "fused": False, "weight_decay": weight_decay}
    if recipe.optimizer == "adam":
        return Adam(model.parameters(), recipe.lr, **loop)
    return SGD(
        model.parameters(), recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov, **loop
    )
