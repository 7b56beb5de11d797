"""Losses of natural, madry, trades and mart against slow loops, and what they reduce to."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robench.adversary.pgd import PGD
from robench.check import tiny
from robench.data.batches import Batch
from robench.models.passes import Passes
from robench.threat import Threat
from robench.training.method import Method, Run, method
from tests.conftest import Unsure
from tests.methods.costs import spent
from tests.methods.gradients import gradients


@pytest.fixture
def attacked(unsure: Unsure) -> Tensor:
    """Perturbed images that differ from the originals."""
    torch.manual_seed(0)
    return Threat("Linf", 0.1).random_start(unsure.batch.x)


def trades_loop(natural: Tensor, attacked: Tensor, y: Tensor, beta: float) -> float:
    total = 0.0
    for f, g, label in zip(natural.tolist(), attacked.tolist(), y.tolist(), strict=True):
        p, q = softmax(f), softmax(g)
        kl = sum(a * (math.log(a) - math.log(b)) for a, b in zip(p, q, strict=True))
        total += -math.log(p[label]) + beta * kl
    return total / len(y)


def mart_loop(natural: Tensor, attacked: Tensor, y: Tensor, beta: float) -> float:
    total = 0.0
    for f, g, label in zip(natural.tolist(), attacked.tolist(), y.tolist(), strict=True):
        p, q = softmax(f), softmax(g)
        other = max(value for k, value in enumerate(q) if k != label)
        boosted = -math.log(q[label]) - math.log(1.0001 - other)
        kl = sum(a * (math.log(a) - math.log(b)) for a, b in zip(p, q, strict=True))
        total += boosted + beta * (1.0000001 - p[label]) * kl
    return total / len(y)


def softmax(logits: list[float]) -> list[float]:
    top = max(logits)
    powers = [math.exp(v - top) for v in logits]
    return [v / sum(powers) for v in powers]


def loss_of(chosen: Method, unsure: Unsure, x_adv: Tensor) -> float:
    run = Run(Threat("Linf", 0.1), 256, 4, 3)
    return chosen.loss(unsure.model, unsure.batch, x_adv, run).item()


@pytest.mark.parametrize("beta", [0.0, 1.0, 6.0])
def test_trades_against_a_loop(beta: float, unsure: Unsure, attacked: Tensor) -> None:
    model, batch = unsure.model, unsure.batch
    expected = trades_loop(model(batch.x), model(attacked), batch.y, beta)
    found = loss_of(method("trades", changes={"beta": beta}), unsure, attacked)
    assert found == pytest.approx(expected, rel=1e-5)


def test_trades_raises_kl_from_the_natural_to_the_attacked_prediction(unsure: Unsure) -> None:
    model, x, eps, size = unsure.model, unsure.batch.x, 0.05, 0.02
    chosen = method("trades", changes={"attack.steps": 3, "attack.step_size": size})
    torch.manual_seed(5)
    found = chosen.perturb(model, unsure.batch, Run(Threat("Linf", eps), 256, 4, 3))
    torch.manual_seed(5)
    start = (x + 1e-3 * torch.randn_like(x)).clamp(0, 1)
    expected, reversed_kl = (walk(model, x, start, eps, size, turned) for turned in (False, True))
    assert (found - expected).abs().lt(1e-6).float().mean() > 0.99  # but for gradients near zero
    assert (found - reversed_kl).abs().lt(1e-6).float().mean() < 0.99


def walk(
    model: nn.Module, x: Tensor, x_adv: Tensor, eps: float, size: float, turned: bool
) -> Tensor:
    """Three signed steps up KL(natural || attacked), or with the two the other way round."""
    natural = model(x).log_softmax(1).detach()
    for _ in range(3):
        x_adv = x_adv.detach().requires_grad_()
        p, q = natural, model(x_adv).log_softmax(1)
        if turned:
            p, q = q, p
        (grad,) = torch.autograd.grad((p.exp() * (p - q)).sum(), x_adv)
        x_adv = (x_adv + size * grad.sign()).detach()
        x_adv = torch.maximum(torch.minimum(x_adv, x + eps), x - eps).clamp(0, 1)
    return x_adv


@pytest.mark.parametrize("beta", [0.0, 5.0])
def test_mart_against_a_loop(beta: float, unsure: Unsure, attacked: Tensor) -> None:
    model, batch = unsure.model, unsure.batch
    expected = mart_loop(model(batch.x), model(attacked), batch.y, beta)
    found = loss_of(method("mart", changes={"beta": beta}), unsure, attacked)
    assert found == pytest.approx(expected, rel=1e-5)


def test_natural_ignores_the_attack_and_madry_sees_nothing_else(
    unsure: Unsure, attacked: Tensor
) -> None:
    model, batch = unsure.model, unsure.batch
    natural = F.cross_entropy(model(batch.x), batch.y).item()
    adversarial = F.cross_entropy(model(attacked), batch.y).item()
    assert loss_of(method("natural"), unsure, attacked) == natural
    assert loss_of(method("madry"), unsure, attacked) == adversarial
    assert natural != adversarial


def test_trades_without_its_kl_is_natural_training(batch: Batch, run: Run) -> None:
    chosen, natural = method("trades", changes={"beta": 0}), method("natural")
    for one, other in zip(
        gradients(chosen, batch, run), gradients(natural, batch, run), strict=True
    ):
        assert torch.allclose(one, other, atol=1e-7)


@pytest.mark.parametrize("name", ["madry", "mart", "trades"])
def test_trades_and_its_kin_train_through_both_predictions(
    name: str, batch: Batch, run: Run
) -> None:
    assert all(gradient.abs().sum() > 0 for gradient in gradients(method(name), batch, run))


def test_at_eps_zero_adversarial_training_is_natural_training(batch: Batch) -> None:
    run = Run(Threat("Linf", 0.0), 256, 4, 3)
    for one, other in zip(
        gradients(method("madry"), batch, run), gradients(method("natural"), batch, run),
        strict=True,
    ):  # fmt: skip
        assert torch.equal(one, other)


def test_one_long_step_from_a_random_start_is_fast_adversarial_training(unsure: Unsure) -> None:
    """FGSM-RS: a uniform start, then a step of 1.25 eps, clipped to the ball and to [0, 1]."""
    model, x, y, eps = unsure.model, unsure.batch.x, unsure.batch.y, 0.05
    run = Run(Threat("Linf", eps), 256, 4, 3)
    chosen = method("madry", changes={"attack.steps": 1, "attack.step_size": 1.25 * eps})
    torch.manual_seed(5)
    found = chosen.perturb(model, unsure.batch, run)
    torch.manual_seed(5)
    start = (x + torch.empty_like(x).uniform_(-eps, eps)).clamp(0, 1).requires_grad_()
    (slope,) = torch.autograd.grad(F.cross_entropy(model(start), y, reduction="sum"), start)
    moved = (start - x + 1.25 * eps * slope.sign()).clamp(-eps, eps)
    assert torch.allclose(found, (x + moved).clamp(0, 1), atol=1e-6)


def test_without_steps_madry_trains_on_uniform_noise(unsure: Unsure) -> None:
    run = Run(Threat("Linf", 0.05), 256, 4, 3)
    x_adv = method("madry", changes={"attack.steps": 0}).perturb(unsure.model, unsure.batch, run)
    inner = (unsure.batch.x > 0.05) & (unsure.batch.x < 0.95)  # where [0, 1] cuts nothing
    noise = (x_adv - unsure.batch.x)[inner] / 0.05
    assert noise.abs().max() <= 1 + 1e-5
    assert noise.mean().abs() < 0.02
    assert noise.var().item() == pytest.approx(1 / 3, rel=0.02)


def test_mart_without_kl_and_boost_is_the_cross_entropy(unsure: Unsure, attacked: Tensor) -> None:
    model, batch = unsure.model, unsure.batch
    q = model(attacked).softmax(1)
    boost = -(1.0001 - q.scatter(1, batch.y[:, None], 0).amax(1)).log().mean()
    found = loss_of(method("mart", changes={"beta": 0}), unsure, attacked)
    expected = F.cross_entropy(model(attacked), batch.y)
    assert found - boost.item() == pytest.approx(expected.item(), rel=1e-5)


def test_kl_of_saturated_predictions_is_finite() -> None:
    class Steep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(1e4))

        def forward(self, x: Tensor) -> Tensor:
            return self.scale * x.flatten(1)[:, :4]

    torch.manual_seed(0)
    x, y = torch.rand(8, 1, 2, 2), torch.arange(8) % 4
    batch, model = Batch(x, y, torch.arange(8)), Steep()
    run = Run(Threat("Linf", 0.3), 8, 4, 1)
    for name in ("trades", "mart"):
        x_adv = method(name).perturb(model, batch, run)
        loss = method(name).loss(model, batch, x_adv, run)
        (gradient,) = torch.autograd.grad(loss, [model.scale])
        assert loss.isfinite()
        assert gradient.isfinite()


PASSES = {
    "natural": (1, 1),
    "madry": (11, 11),
    "mart": (12, 12),
    "trades": (13, 12),
}
"""Forward and backward passes of an image in a step with PGD-10, at their least."""


@pytest.mark.parametrize("name", PASSES)
def test_passes_of_a_step(name: str, batch: Batch, run: Run) -> None:
    model, chosen = tiny.classifier(), method(name, changes={})
    assert spent(chosen, model, batch, run) == chosen.passes("train") == Passes(*PASSES[name])


def test_presets_are_the_authors() -> None:
    madry, trades = method("madry", "mnist"), method("trades", "cifar10")
    assert madry.attack == PGD(steps=40, step_size=0.01)  # type: ignore[attr-defined]
    assert trades.attack == PGD(steps=10, step_size=0.007, start="gaussian")  # type: ignore[attr-defined]
    assert trades.beta == 6  # type: ignore[attr-defined]
    sensible = method("sensible", "cifar10")
    assert (sensible.cut, sensible.attack.step_size) == (0.5, 1.5 / 255)  # type: ignore[attr-defined]
