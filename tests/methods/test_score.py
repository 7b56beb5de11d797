"""SCORE: its loss against a slow loop, what it reduces to, and what its attack raises."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from robench import plugins
from robench.adversary.pgd import PGD
from robench.check import tiny
from robench.data.batches import Batch
from robench.models.passes import Passes
from robench.threat import Threat
from robench.training.method import Method, Run, method
from tests.conftest import Unsure
from tests.methods.costs import spent

LINF = Threat("Linf", 0.1)


def make(**changes: object) -> Method:
    return method("score", changes=changes)


def started() -> Run:
    return Run(LINF, 256, 4, 3, progress=0.5)


@pytest.fixture
def attacked(unsure: Unsure) -> Tensor:
    """Perturbed images that differ from the originals."""
    torch.manual_seed(0)
    return LINF.random_start(unsure.batch.x)


def softmax(logits: list[float]) -> list[float]:
    powers = [math.exp(v - max(logits)) for v in logits]
    return [v / sum(powers) for v in powers]


def loop(natural: Tensor, attacked: Tensor, y: Tensor) -> tuple[float, float]:
    """The Brier score, and the squared distance of attacked to natural probabilities."""
    brier = moved = 0.0
    for f, g, label in zip(natural.tolist(), attacked.tolist(), y.tolist(), strict=True):
        p, q = softmax(f), softmax(g)
        brier += sum((a - (k == label)) ** 2 for k, a in enumerate(p))
        moved += sum((a - b) ** 2 for a, b in zip(p, q, strict=True))
    return brier / len(y), moved / len(y)


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_loss_against_a_loop(beta: float, unsure: Unsure, attacked: Tensor) -> None:
    model, batch = unsure.model, unsure.batch
    brier, moved = loop(model(batch.x), model(attacked), batch.y)
    assert moved > 1e-3
    found = make(beta=beta).loss(model, batch, attacked, started()).item()
    assert found == pytest.approx(brier + beta * moved, rel=1e-5)


def test_without_beta_it_is_training_on_the_brier_score(batch: Batch, run: Run) -> None:
    """Gradients only: the statistics of batch normalisation see attacked images, too."""
    found = []
    for brier_alone in (False, True):
        torch.manual_seed(1)
        model, chosen = tiny.classifier(), make(beta=0)
        x_adv = chosen.perturb(model.eval(), batch, run)
        if brier_alone:
            error = model.train()(batch.x).softmax(1) - F.one_hot(batch.y, 4)
            loss = error.square().sum(1).mean()
        else:
            loss = chosen.loss(model.train(), batch, x_adv, run)
        found.append([loss, *torch.autograd.grad(loss, list(model.parameters()))])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_with_logarithms_for_distances_it_is_trades(
    monkeypatch: pytest.MonkeyPatch, unsure: Unsure
) -> None:
    def logarithms(logits: Tensor, probabilities: Tensor) -> Tensor:
        """KL to the given probabilities, which to a label is the cross-entropy."""
        p = probabilities.float()
        return (torch.special.xlogy(p, p) - p * logits.log_softmax(1)).sum(1)

    module = plugins.get("methods", "score").load()
    monkeypatch.setattr(module, "squared_distance", logarithms)
    score = make(beta=6, **{"attack.start": "gaussian"})
    assert type(score).__module__ == module.__name__
    run, ends = started(), []
    for chosen in (score, method("trades")):
        torch.manual_seed(3)
        x_adv = chosen.perturb(unsure.model, unsure.batch, run)
        weight = torch.ones((), requires_grad=True)  # of all logits
        loss = chosen.loss(scaled(unsure.model, weight), unsure.batch, x_adv, run)
        ends.append((x_adv, loss, torch.autograd.grad(loss, weight)[0]))
    (images, *numbers), (others, *expected) = ends
    assert (images - others).abs().lt(1e-6).float().mean() > 0.99  # but for slopes near zero
    assert torch.allclose(torch.stack(numbers), torch.stack(expected), rtol=1e-3)


def scaled(model: nn.Module, weight: Tensor) -> nn.Module:
    class Scaled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = weight * model(x)
            return logits

    return Scaled()


def test_the_attack_raises_the_squared_distance(unsure: Unsure) -> None:
    model, x, eps, size = unsure.model, unsure.batch.x, 0.05, 0.02
    chosen = make(**{"attack.steps": 3, "attack.step_size": size})
    torch.manual_seed(5)
    found = chosen.perturb(model, unsure.batch, Run(Threat("Linf", eps), 256, 4, 3))
    torch.manual_seed(5)
    x_adv, p = Threat("Linf", eps).random_start(x), model(x).softmax(1)
    begun = (model(x_adv).softmax(1) - p).square().sum(1)
    for _ in range(3):
        leaf = x_adv.detach().requires_grad_()
        (slope,) = torch.autograd.grad((model(leaf).softmax(1) - p).square().sum(), leaf)
        x_adv = (leaf + size * slope.sign()).detach()
        x_adv = torch.maximum(torch.minimum(x_adv, x + eps), x - eps).clamp(0, 1)
    assert (found - x_adv).abs().lt(1e-6).float().mean() > 0.99
    ended = (model(found).softmax(1) - p).square().sum(1)
    assert (ended > begun).float().mean() > 0.9


SCORE = make()


@given(st.lists(st.floats(-1e4, 1e4), min_size=8, max_size=8), st.integers(0, 3), st.floats(0, 9))
def test_it_is_bounded_whatever_the_logits(values: list[float], label: int, beta: float) -> None:
    """As no logarithm is: by 2 for either distance."""
    x, x_adv = torch.tensor(values).view(2, 1, 1, 2, 2).requires_grad_()
    batch = Batch(x, torch.tensor([label]), torch.arange(1))
    loss = replace(SCORE, beta=beta).loss(nn.Flatten(), batch, x_adv, started())  # type: ignore[call-arg]
    assert 0 <= loss.item() <= 2 * (1 + beta) + 1e-4
    assert all(g.isfinite().all() for g in torch.autograd.grad(loss, [x, x_adv]))


@pytest.mark.parametrize("steps", [0, 10])
def test_passes_of_a_step(steps: int, batch: Batch, run: Run) -> None:
    model, chosen = tiny.classifier(), make(**{"attack.steps": steps})
    assert (
        spent(chosen, model, batch, run) == chosen.passes("train") == Passes(steps + 3, steps + 2)
    )


def test_presets_are_the_authors() -> None:
    cifar = method("score", "cifar10")
    assert cifar.attack == PGD(steps=10, step_size=2 / 255, start="uniform")  # type: ignore[attr-defined]
    assert cifar.beta == 4  # type: ignore[attr-defined]
