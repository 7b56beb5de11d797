"""Minmax: its weighted loss against a loop, its weights, what it reduces to, and its passes."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robench.check import tiny
from robench.data.batches import Batch
from robench.errors import ConfigError
from robench.models.passes import Passes
from robench.radius import BALLS, Norm
from robench.threat import Threat
from robench.training.method import Method, Run, method
from tests.adversary.test_simplex import bisected
from tests.conftest import Unsure
from tests.methods.costs import spent

LINF = Threat("Linf", 0.05)
FEW: dict[str, object] = {f"{norm.lower()}.steps": 2 for norm in BALLS}


def make(**changes: object) -> Any:
    return method("minmax", changes={**FEW, **changes})


def multinorm(how: str) -> Method:
    return method("multinorm", changes={**FEW, "how": how})


def small() -> nn.Module:
    """Four logits of 8x8 images, without batch normalisation."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 32), nn.ReLU(), nn.Linear(32, 4))


def started(chosen: Method, threat: Threat = LINF) -> Run:
    run = Run(threat, 256, 4, 3, progress=0.5)
    run.state = chosen.init(nn.Flatten(), run)
    return run


def each(model: nn.Module, batch: Batch, x_adv: Tensor) -> list[float]:
    """The loss in each norm."""
    parts = x_adv.split(len(batch.y))
    return [F.cross_entropy(model(part), batch.y).item() for part in parts]


def test_loss_and_weights_against_a_loop(unsure: Unsure) -> None:
    model, batch, chosen = unsure.model, unsure.batch, make(weight_step=0.1, gamma=2)
    run, weights = started(chosen), [1 / 3] * 3
    for _ in range(4):
        x_adv = chosen.perturb(model, batch, run)
        losses = each(model, batch, x_adv)
        loss = chosen.loss(model, batch, x_adv, run).item()
        raised = [
            w + 0.1 * (value - 2 * (w - 1 / 3)) for w, value in zip(weights, losses, strict=True)
        ]
        weights = bisected(raised)
        assert run.state["weights"].tolist() == pytest.approx(weights, abs=1e-5)
        expected = sum(w * value for w, value in zip(weights, losses, strict=True))
        assert loss == pytest.approx(expected, rel=1e-5)
    assert max(weights) > 0.4
    told = run.told()
    assert [told[f"weight/{norm}"] for norm in BALLS] == run.state["weights"].tolist()


def test_the_weights_are_no_part_of_the_gradient(unsure: Unsure) -> None:
    model, batch, chosen = small(), unsure.batch, make(weight_step=0.3, gamma=0)
    run = started(chosen)
    x_adv = chosen.perturb(model, batch, run)
    loss = chosen.loss(model, batch, x_adv, run)
    losses = [F.cross_entropy(model(part), batch.y) for part in x_adv.split(256)]
    weighted = sum(w * value for w, value in zip(run.state["weights"], losses, strict=True))
    for ours, theirs in zip(
        torch.autograd.grad(loss, list(model.parameters())),
        torch.autograd.grad(weighted, list(model.parameters())),
        strict=True,
    ):
        assert torch.allclose(ours, theirs, atol=1e-6)


def trained(chosen: Method, batch: Batch, threat: Threat, model: nn.Module) -> list[Tensor]:
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run = started(chosen, threat)
    torch.manual_seed(8)
    for _ in range(3):
        chosen.step(model.train(), batch, run, optimizer)
    return [tensor.clone() for tensor in model.state_dict().values()]


def network() -> nn.Module:
    torch.manual_seed(1)
    return tiny.classifier()


@pytest.mark.parametrize(
    "changes", [{"weight_step": 0}, {"weight_step": 1e-9, "gamma": 1e9}, {"weight_step": 1}]
)
def test_with_even_weights_it_is_avg(changes: dict[str, object], batch: Batch) -> None:
    """A step of 0; a pull so strong that no loss moves them. With neither it is not."""
    chosen = make(**{"gamma": 0, **changes})
    ours = trained(chosen, batch, LINF, network())
    theirs = trained(multinorm("avg"), batch, LINF, network())
    # Up to rounding: one sums all losses, the other those of each norm first.
    same = all(torch.allclose(a, b, atol=1e-5) for a, b in zip(ours, theirs, strict=True))
    assert same == (changes != {"weight_step": 1})


def test_without_pull_and_a_long_step_it_is_the_norm_of_highest_loss(unsure: Unsure) -> None:
    model, batch, chosen = unsure.model, unsure.batch, make(weight_step=1e6, gamma=0)
    run = started(chosen)
    x_adv = chosen.perturb(model, batch, run)
    loss = chosen.loss(model, batch, x_adv, run).item()
    assert loss == pytest.approx(max(each(model, batch, x_adv)), rel=1e-6)
    assert sorted(run.state["weights"].tolist()) == [0, 0, 1]


def test_in_batches_of_one_that_is_max(unsure: Unsure) -> None:
    model = unsure.model
    ours, theirs = make(weight_step=1e6, gamma=0), multinorm("max")
    for k in range(6):
        batch = Batch(*(part[k, None] for part in vars(unsure.batch).values()))
        found = []
        for chosen in (ours, theirs):
            run = started(chosen)
            torch.manual_seed(k)
            x_adv = chosen.perturb(model, batch, run)
            found.append(chosen.loss(model, batch, x_adv, run).item())
        assert found[0] == pytest.approx(found[1], rel=1e-5)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_one_norm_alone_is_adversarial_training_in_it(norm: Norm, batch: Batch) -> None:
    threat = Threat(norm, 0.1)
    ours = trained(make(norms=(norm,)), batch, threat, network())
    theirs = trained(method("madry", changes={"attack.steps": 2}), batch, threat, network())
    # Up to rounding: the mean of the losses is taken by another sum.
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(ours, theirs, strict=True))


def test_weights_that_swing_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"minmax: weight_step x gamma is 1\.5; over 1"):
        make(weight_step=0.5, gamma=3)


@pytest.mark.parametrize("norms", [("L2",), ("Linf", "L1"), BALLS])
def test_passes_of_a_step(norms: tuple[str, ...], batch: Batch, run: Run) -> None:
    model, chosen = tiny.classifier(), make(norms=norms)
    run.state = chosen.init(model, run)
    assert (
        spent(chosen, model, batch, run)
        == chosen.passes("train")
        == Passes(3 * len(norms), 3 * len(norms))
    )
