"""Ensembles: the mean prediction against a loop, members as if alone, and what is remembered."""

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

from robench.check import tiny
from robench.check.finding import equal, snapshot
from robench.data.batches import Batch
from robench.errors import ConfigError
from robench.models.averaged import Averaged
from robench.models.passes import Passes
from robench.training.method import Method, Run, Stage, crafting, method
from tests.methods.costs import spent

STILL = {"inner.attack.steps": 2, "inner.attack.start": "none"}
"""PGD that draws nothing, so that members are alike in what they meet."""


def make(**changes: object) -> Method:
    return method("ensemble", changes=STILL | changes)


def built(chosen: Method, run: Run) -> Any:
    torch.manual_seed(1)
    model = chosen.build(tiny.classifier, run)
    run.state = chosen.init(model, run)
    assert isinstance(model, Averaged)
    return model


def walk(chosen: Method, model: nn.Module, batch: Batch, run: Run, adam: bool = False) -> None:
    weights = model.parameters()
    optimizer: Optimizer = Adam(weights) if adam else SGD(weights, 0.1, 0.9, weight_decay=1e-3)
    torch.manual_seed(7)
    for _ in range(3):
        chosen.step(model.train(), batch, run, optimizer)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_mean_prediction_against_a_loop(size: int, batch: Batch) -> None:
    torch.manual_seed(0)
    members = [tiny.classifier().eval() for _ in range(size)]
    found = Averaged(members)(batch.x[:5])
    for image, logs in zip(batch.x[:5], found.softmax(1).tolist(), strict=True):
        means = [0.0] * 4
        for member in members:
            powers = [math.exp(logit) for logit in member(image[None])[0].tolist()]
            means = [m + p / sum(powers) / size for m, p in zip(means, powers, strict=True)]
        assert logs == pytest.approx(means, rel=1e-4)
    assert size == 1 or torch.allclose(found.exp().sum(1), torch.ones(5))


def test_probabilities_that_underflow_are_no_trouble() -> None:
    class Sure(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 1e4 * x.flatten(1)[:, :4]

    x, y = torch.rand(6, 1, 2, 2).requires_grad_(), torch.arange(6) % 4
    (grad,) = torch.autograd.grad(F.cross_entropy(Averaged([Sure(), Sure()])(x), y), x)
    assert grad.isfinite().all()


@pytest.mark.parametrize("craft", ["ensemble", "own"])
def test_an_ensemble_of_one_is_its_inner_method(craft: str, batch: Batch, run: Run) -> None:
    changes = {"inner.attack.start": "uniform", "size": 1, "craft": craft}
    chosen, alone = make(**changes), method("madry", changes={"attack.steps": 2})
    model, one = built(chosen, run), built(make(size=1), run).members[0]
    assert equal(snapshot(model.members[0]), snapshot(one))
    walk(chosen, model, batch, run)
    walk(alone, one, batch, run)
    assert equal(snapshot(model.members[0]), snapshot(one))
    assert torch.equal(chosen.deploy(model, run).eval()(batch.x), one.eval()(batch.x))


@pytest.mark.parametrize("adam", [True, False])
def test_members_that_craft_their_own_train_as_if_alone(adam: bool, batch: Batch, run: Run) -> None:
    chosen = make(craft="own")
    model, twin = built(chosen, run), built(chosen, run)
    walk(chosen, model, batch, run, adam)
    alone = method("madry", changes={"attack.steps": 2, "attack.start": "none"})
    for member, other in zip(model.members, twin.members, strict=True):
        walk(alone, other, batch, run, adam)
        assert equal(snapshot(member), snapshot(other))
    assert len({member.head.weight.sum().item() for member in model.members}) == 3


def test_on_the_ensemble_examples_are_those_of_the_mean_prediction(batch: Batch, run: Run) -> None:
    chosen, alone = make(), method("madry", changes={"attack.steps": 2, "attack.start": "none"})
    model = built(chosen, run)
    with crafting(model, "eval"):
        x_adv = chosen.perturb(model, batch, run)
        assert torch.equal(x_adv, alone.perturb(Averaged(model.members), batch, run))
        assert not torch.equal(x_adv, alone.perturb(model.members[0], batch, run))
    loss = chosen.loss(model.train(), batch, x_adv, run)
    expected = [F.cross_entropy(member(x_adv), batch.y) for member in model.members]
    assert loss.item() == pytest.approx(torch.stack(expected).sum().item(), rel=1e-6)


def test_what_a_member_remembers_is_its_own(batch: Batch, run: Run) -> None:
    changes = {"inner": "iaat", "inner.attack.steps": 1, "size": 2}
    apart = method("ensemble", changes=changes | {"craft": "own"})
    model = built(apart, run)
    assert set(run.state) == {"ensemble/0/radius", "ensemble/1/radius"}
    with torch.no_grad():
        model.members[0].head.bias += torch.tensor([9.0, 0, 0, 0])
    run.progress = 0
    apart.step(model.train(), batch, run, SGD(model.parameters(), 0.1))
    one, other = (run.state[f"ensemble/{place}/radius"] for place in (0, 1))
    assert not one.equal(other)
    together = method("ensemble", changes=changes)
    model = built(together, run)
    together.step(model.train(), batch, run, SGD(model.parameters(), 0.1))
    assert set(run.state) == {"radius"}


def test_what_members_log_is_told_as_their_mean(batch: Batch, run: Run) -> None:
    changes: dict[str, object] = {"inner": "sensible", "size": 2}
    for craft in ("own", "ensemble"):
        chosen = method("ensemble", changes=changes | {"craft": craft})
        model = built(chosen, run)
        chosen.step(model.train(), batch, run, SGD(model.parameters(), 0.1))
        told = run.told()
        assert sum(value for name, value in told.items() if name.startswith("case/")) == (
            pytest.approx(1)
        )


@pytest.mark.parametrize("craft", ["ensemble", "own"])
@pytest.mark.parametrize("size", [1, 3])
def test_passes_of_a_step(size: int, craft: str, batch: Batch, run: Run) -> None:
    chosen = make(size=size, craft=craft)
    model = built(chosen, run)
    assert spent(chosen, model, batch, run) == chosen.passes("train") == Passes(3 * size, 3 * size)


def test_what_is_deployed_is_the_mean_of_what_members_deploy(batch: Batch, run: Run) -> None:
    changes = {"inner": "ema", "craft": "own", "size": 2, "inner.decay": 0.5}
    chosen = method("ensemble", changes=changes)
    model = built(chosen, run)
    chosen.step(model.train(), batch, run, SGD(model.parameters(), 0.1))
    deployed: Any = chosen.deploy(model, run)
    for place, member in enumerate(deployed.members):
        average = run.state[f"ensemble/{place}/ema/head.weight"]
        assert torch.equal(member.head.weight, average)
        assert not torch.equal(model.members[place].head.weight, average)


def test_what_trains_a_part_of_its_network_is_refused() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Partial(type(method("natural"))):  # type: ignore[misc]
        """Its last layer alone."""

        choice = "partial"

        def stages(self) -> tuple[Stage, ...]:
            return (Stage(prefix="head"),)

    ensemble: Any = type(make())
    with pytest.raises(ConfigError, match="ensemble: partial trains a part of its network"):
        ensemble(inner=Partial())
