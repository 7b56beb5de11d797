"""CURE: its loss against a loop and differences, what it reduces to, and its cost."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import Tensor, nn

from robench.check import tiny
from robench.check.finding import equal, snapshot
from robench.data.batches import Batch
from robench.models.passes import Passes
from robench.threat import Threat
from robench.training.epochs import rounds
from robench.training.method import Method, Run, method
from robench.training.recipe import Recipe
from tests.conftest import Unsure
from tests.methods.costs import spent


def make(**changes: object) -> Method:
    return method("cure", changes={"start": None, **changes})


def started(progress: float = 0.5) -> Run:
    return Run(Threat("Linf", 0.1), 256, 4, 3, progress=progress)


def smooth() -> nn.Module:
    """Without kinks, in double precision, for differences."""
    torch.manual_seed(1)
    layers = nn.Flatten(), nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 3)
    return nn.Sequential(*layers).double()


def some(count: int = 6) -> Batch:
    x = torch.rand(count, 3, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    return Batch(x, torch.arange(count) % 3, torch.arange(count))


def loop(model: nn.Module, batch: Batch, weight: float, length: float) -> float:
    """Image by image, number by number."""
    total = 0.0
    for x, y in zip(batch.x, batch.y, strict=True):
        here = at(model, x, y)
        signs = [(g > 0) - (g < 0) for g in here]
        step = length / math.sqrt(sum(map(abs, signs)))
        there = at(model, x + torch.tensor([step * s for s in signs]).view_as(x).to(x), y)
        total += F.cross_entropy(model(x[None]), y[None]).item()
        total += weight * math.sqrt(sum((a - b) ** 2 for a, b in zip(here, there, strict=True)))
    return total / len(batch.y)


def at(model: nn.Module, x: Tensor, y: Tensor) -> list[float]:
    leaf = x[None].clone().requires_grad_()
    (grad,) = torch.autograd.grad(F.cross_entropy(model(leaf), y[None]), leaf)
    return grad.flatten().tolist()


@pytest.mark.parametrize(("weight", "length"), [(0.0, 0.6), (0.8, 0.6), (5.0, 0.1)])
def test_loss_against_a_loop(weight: float, length: float, unsure: Unsure) -> None:
    batch = Batch(*(part[:20] for part in vars(unsure.batch).values()))
    expected = loop(unsure.model, batch, weight, length)
    assert (expected - loop(unsure.model, batch, 0, length) > 0.01) == (weight > 0)
    found = make(weight=weight, length=length).loss(unsure.model, batch, batch.x, started())
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_gradient_against_differences() -> None:
    """Along a random way through the weights."""
    chosen, model, batch = make(weight=3), smooth(), some()
    weights = list(model.parameters())
    loss = chosen.loss(model, batch, batch.x, started())
    slopes = torch.autograd.grad(loss, weights)
    plain = torch.autograd.grad(F.cross_entropy(model(batch.x), batch.y), weights)
    ways = [torch.randn_like(w) for w in weights]
    found, without = (
        sum((g * way).sum().item() for g, way in zip(grads, ways, strict=True))
        for grads in (slopes, plain)
    )
    ends = []
    for h in (1e-6, -2e-6):
        with torch.no_grad():
            for w, way in zip(weights, ways, strict=True):
                w.add_(h * way)
        ends.append(chosen.loss(model, batch, batch.x, started()).item())
    assert found == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5)
    assert abs(found - without) > 0.01 * abs(found)


@pytest.mark.parametrize("changes", [{"weight": 0}, {"length": 0}])
def test_without_weight_or_length_it_is_natural_training(
    changes: dict[str, object], batch: Batch, run: Run
) -> None:
    found = []
    for chosen in (make(**changes), method("natural"), make()):
        torch.manual_seed(1)
        model = tiny.classifier()
        optimizer = torch.optim.SGD(model.parameters(), 0.1, 0.9)
        for _ in range(3):
            chosen.step(model.train(), batch, run, optimizer)
        found.append(snapshot(model))
    assert equal(found[0], found[1])
    assert not equal(found[0], found[2])


def test_it_has_the_length_that_it_has_grown_to(unsure: Unsure) -> None:
    def loss(chosen: Method, progress: float) -> float:
        return chosen.loss(unsure.model, unsure.batch, unsure.batch.x, started(progress)).item()

    half, whole = make(ramp=0, length=0.3), make(ramp=0)
    assert loss(make(), 0.125) == loss(half, 0.0) != loss(whole, 0.0)
    assert loss(make(), 0.25) == loss(make(), 0.9) == loss(whole, 0.0)
    assert loss(make(), 0.0) == loss(make(weight=0), 0.0)


def test_the_regulariser_leaves_mode_and_statistics_alone(batch: Batch) -> None:
    found = []
    for weight in (0, 0.8):
        torch.manual_seed(0)
        model = tiny.classifier().train()
        make(weight=weight).loss(model, batch, batch.x, started())
        assert all(module.training for module in model.modules())
        found.append(snapshot(model))
    assert equal(*found)


def test_the_regulariser_sees_one_image_at_a_time(batch: Batch) -> None:
    """So its mean over a batch is the mean over its halves, also with batch normalisation."""
    torch.manual_seed(0)
    model, noted = tiny.classifier(), []
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0  # the natural pass moves no statistics
    for rows in (slice(0, 64), slice(0, 32), slice(32, 64)):
        part, run = Batch(batch.x[rows], batch.y[rows], batch.index[rows]), started()
        make().loss(model.train(), part, part.x, run)
        noted.append(run.told()["change"])
    assert noted[1] != pytest.approx(noted[2], rel=1e-3)
    assert noted[0] == pytest.approx((noted[1] + noted[2]) / 2, rel=1e-5)


class Sure(nn.Module):
    """Logits that do not depend on the image, or so far apart that nothing is left of the slope."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([1 + x.mean((1, 2, 3)), -x.mean((1, 2, 3))], 1) * self.scale


@pytest.mark.parametrize("scale", [0.0, 1e4])
def test_without_a_gradient_nothing_breaks(scale: float) -> None:
    model, x = Sure(scale), torch.rand(4, 3, 8, 8)
    batch = Batch(x, torch.zeros(4, dtype=torch.long), torch.arange(4))
    loss = make().loss(model, batch, x, started())
    (grad,) = torch.autograd.grad(loss, [model.scale])
    assert loss.isfinite()
    assert grad.isfinite()


BASE = make()


@given(length=st.floats(0, 2), weight=st.floats(0, 5), eps=st.floats(0, 1))
@hypothesis_settings(max_examples=25)
def test_it_is_never_less_than_the_natural_loss_and_knows_no_radius(
    length: float, weight: float, eps: float
) -> None:
    chosen = replace(BASE, length=length, weight=weight)  # type: ignore[call-arg]
    model, batch = smooth(), some(3)
    found = [
        chosen.loss(model, batch, batch.x, Run(threat, 3, 3, 3, progress=0.5)).item()
        for threat in (Threat("Linf", eps), Threat("L2", 0.5))
    ]
    assert found[0] == found[1] >= F.cross_entropy(model(batch.x), batch.y).item()


@pytest.mark.parametrize("weight", [0, 0.8])
def test_passes_of_a_step(weight: float, batch: Batch, run: Run) -> None:
    model, chosen = tiny.classifier(), make(weight=weight)
    assert (
        spent(chosen, model, batch, run)
        == chosen.passes("train")
        == Passes(*((3, 5) if weight else (1, 1)))
    )


def test_it_goes_on_from_natural_training() -> None:
    assert method("cure").starts_from() == "natural"
    assert make().starts_from() == ""


def test_fifteen_epochs_of_adam_on_cifar10() -> None:
    (stage,) = method("cure", "cifar10").stages()
    assert rounds(stage, Recipe()) == 15
    assert stage.recipe == {"optimizer": "adam", "lr": 1e-4, "weight_decay": 0.0}
    (other,) = make().stages()
    assert (other.share, other.recipe) == (1.0, {})
