"""IKL: the KL taken apart and put together again, class means, and a growing radius."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from robench import plugins
from robench.adversary.losses import kl
from robench.adversary.pgd import PGD
from robench.check import tiny
from robench.data.batches import Batch
from robench.models.passes import Passes
from robench.threat import Threat
from robench.training.method import Method, Run, method
from tests.conftest import Unsure
from tests.methods.costs import spent
from tests.methods.gradients import gradients

LINF = Threat("Linf", 0.1)
IKL = plugins.get("methods", "ikl").load()


def make(**changes: object) -> Method:
    return method("ikl", changes=changes)


def started(chosen: Method, classes: int = 4, num_train: int = 256) -> Run:
    run = Run(LINF, num_train, classes, 3, progress=0.5)
    run.state = chosen.init(nn.Identity(), run)
    return run


def squared_error(gap: Tensor, weights: Tensor) -> Tensor:
    found: Tensor = IKL.squared_error(gap, weights)
    return found


def slow_squared_error(clean: list[float], attacked: list[float], w: list[float]) -> float:
    """As the paper writes it: over all pairs of classes."""
    total = 0.0
    for j in range(len(w)):
        for k in range(len(w)):
            apart = (clean[j] - clean[k]) - (attacked[j] - attacked[k])
            total += w[j] * w[k] * apart**2
    return total / 4


def softmax(logits: list[float]) -> list[float]:
    powers = [math.exp(v - max(logits)) for v in logits]
    return [v / sum(powers) for v in powers]


def drawn(count: int, classes: int) -> tuple[Tensor, Tensor]:
    """Natural and attacked logits of double precision that want their gradients."""
    torch.manual_seed(4)
    clean = 3 * torch.randn(count, classes, dtype=torch.float64)
    attacked = clean + torch.randn_like(clean)
    return clean.requires_grad_(), attacked.requires_grad_()


@pytest.mark.parametrize(("count", "classes"), [(64, 4), (16, 10), (8, 2)])
def test_its_parts_have_the_gradient_of_the_kl(count: int, classes: int) -> None:
    """Weighted by an image's own probabilities, with attacked logits still in the squared error."""
    clean, attacked = drawn(count, classes)
    p = clean.detach().softmax(1)
    parts = squared_error(clean - attacked.detach(), p).mean() + F.cross_entropy(attacked, p)
    found = torch.autograd.grad(parts, [clean, attacked])
    expected = torch.autograd.grad(kl(attacked, clean).mean(), [clean, attacked])
    for one, other in zip(found, expected, strict=True):
        assert other.abs().max() > 1e-3
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-14)


def test_other_weights_have_another_gradient() -> None:
    clean, attacked = drawn(16, 4)
    even = torch.full((16, 4), 0.25, dtype=torch.float64)
    (found,) = torch.autograd.grad(squared_error(clean - attacked.detach(), even).mean(), clean)
    (expected,) = torch.autograd.grad(kl(attacked, clean).mean(), clean)
    assert (found - expected).abs().max() > 1e-2


class Says(nn.Module):
    """Returns natural logits, then attacked ones, whatever it is shown."""

    def __init__(self, *logits: Tensor) -> None:
        super().__init__()
        self.turns = list(logits)

    def forward(self, x: Tensor) -> Tensor:
        return self.turns.pop(0)


def test_its_loss_pulls_natural_logits_as_the_kl_does_and_attacked_ones_back_by_as_much() -> None:
    """One image of each class, whose means are set to its own probabilities; alpha = beta = 1."""
    chosen, (clean, attacked) = make(alpha=1, beta=1), drawn(4, 4)
    run, y = started(chosen), torch.arange(4)
    run.state["means"] = clean.detach().softmax(1)
    x = torch.zeros(4, 3, 8, 8)
    loss = chosen.loss(Says(clean, attacked), Batch(x, y, y), x, run) - F.cross_entropy(clean, y)
    found = torch.autograd.grad(loss, [clean, attacked])
    pulled, pushed = torch.autograd.grad(kl(attacked, clean).mean(), [clean, attacked])
    assert torch.allclose(found[0], pulled, rtol=1e-6, atol=1e-12)
    assert torch.allclose(found[1], pushed - pulled, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(("alpha", "beta"), [(0.0, 0.0), (4.0, 0.0), (0.0, 20.0), (3.0, 7.0)])
def test_loss_against_a_loop(alpha: float, beta: float, unsure: Unsure) -> None:
    chosen = make(alpha=alpha, beta=beta)
    run, batch = started(chosen), unsure.batch
    torch.manual_seed(0)
    run.state["means"] = means = torch.randn(4, 4).softmax(1)
    x_adv, total = LINF.random_start(batch.x), 0.0
    clean, attacked = unsure.model(batch.x).tolist(), unsure.model(x_adv).tolist()
    for f, g, label in zip(clean, attacked, batch.y.tolist(), strict=True):
        p, q = softmax(f), softmax(g)
        total -= math.log(p[label])
        total += beta * slow_squared_error(f, g, means[label].tolist())
        total -= alpha * sum(a * math.log(b) for a, b in zip(p, q, strict=True))
    found = chosen.loss(unsure.model, batch, x_adv, run).item()
    assert found == pytest.approx(total / 256, rel=1e-4)


Numbers = st.lists(st.floats(-50, 50, width=32), min_size=5, max_size=5)


@given(gap=Numbers, raw=st.lists(st.floats(-5, 5, width=32), min_size=5, max_size=5))
def test_the_squared_error_over_pairs_is_half_a_variance(
    gap: list[float], raw: list[float]
) -> None:
    weights = torch.tensor([raw], dtype=torch.float64).softmax(1)
    tensor = torch.tensor([gap], dtype=torch.float64)
    found = squared_error(tensor, weights).item()
    expected = slow_squared_error(gap, [0.0] * 5, weights[0].tolist())
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert found >= 0
    shifted = squared_error(tensor + 7, weights).item()  # logits matter by their differences
    assert shifted == pytest.approx(found, rel=1e-9, abs=1e-9)


def test_without_both_parts_it_is_natural_training(batch: Batch) -> None:
    """Gradients only: the statistics of batch normalisation see attacked images, too."""
    plain = make(alpha=0, beta=0)
    run = started(plain)
    expected = gradients(method("natural"), batch, run)
    found = gradients(plain, batch, run)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert not torch.equal(gradients(make(), batch, run)[1], expected[1])


def epoch(chosen: Method, run: Run, model: nn.Module, batch: Batch, size: int) -> list[Tensor]:
    """The class means that each batch of an epoch has found."""
    used = []
    for at in range(0, len(batch.y), size):
        part = slice(at, at + size)
        used.append(run.state["means"])
        few = Batch(batch.x[part], batch.y[part], batch.index[part])
        chosen.loss(model, few, 1 - few.x, run)  # of natural images alone
    return used


@pytest.mark.parametrize("size", [32, 100, 256])
def test_weights_are_class_means_of_the_epoch_before(size: int, unsure: Unsure) -> None:
    chosen, batch = make(temperature=2.5), unsure.batch
    run = started(chosen)
    first = epoch(chosen, run, unsure.model, batch, size)
    assert all(torch.equal(means, torch.full((4, 4), 0.25)) for means in first)
    p = (unsure.model(batch.x) / 2.5).softmax(1)
    expected = torch.stack([p[batch.y == label].mean(0) for label in range(4)])
    assert torch.allclose(run.state["means"], expected, atol=1e-6)
    assert run.state["seen"] == 0
    assert not run.state["sums"].any()
    sharper = nn.Sequential(unsure.model, Times(3.0))
    second = epoch(chosen, run, sharper, batch, size)
    assert all(torch.allclose(means, expected, atol=1e-6) for means in second)
    p = (3 * unsure.model(batch.x) / 2.5).softmax(1)  # nothing is left of the first epoch
    expected = torch.stack([p[batch.y == label].mean(0) for label in range(4)])
    assert torch.allclose(run.state["means"], expected, atol=1e-6)


class Times(nn.Module):
    """More confident by a factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, logits: Tensor) -> Tensor:
        return self.factor * logits


def test_a_class_without_images_keeps_its_weights(unsure: Unsure) -> None:
    chosen, kept = make(), unsure.batch.y != 2
    run = started(chosen, num_train=int(kept.sum()))
    some = Batch(unsure.batch.x[kept], unsure.batch.y[kept], unsure.batch.index[kept])
    epoch(chosen, run, unsure.model, some, 50)
    means = run.state["means"]
    assert torch.equal(means[2], torch.full((4,), 0.25))
    assert all((means[label] - 0.25).abs().max() > 0.01 for label in (0, 1, 3))
    assert torch.allclose(means.sum(1), torch.ones(4))


def test_what_it_remembers_takes_no_gradient(batch: Batch, run: Run) -> None:
    chosen, model = make(), tiny.classifier()
    run.state = chosen.init(model, run)
    before = dict(run.state)
    chosen.loss(model, batch, batch.x, run).backward()
    assert not any(value.requires_grad for value in run.state.values())
    assert run.state["seen"] == 64
    assert before["seen"] == 0  # nothing was changed in place
    assert not before["sums"].any()


@pytest.mark.parametrize(
    ("ramp", "progress", "share"), [(1, 0.0, 0), (1, 0.5, 0.5), (0.25, 0.125, 0.5), (0.25, 0.5, 1),
    (0, 0.0, 1)],
)  # fmt: skip
def test_the_radius_grows(ramp: float, progress: float, share: float, unsure: Unsure) -> None:
    """And the images are those of TRADES with as many steps: both attacks have the same slopes."""
    run = Run(LINF, 256, 4, 3, progress=progress)
    found = seeded(make(ramp=ramp), unsure, run)
    smaller = replace(run, threat=Threat("Linf", share * 0.1))
    trades = method("trades", changes={"attack.steps": 5})
    assert torch.equal(found, seeded(trades, unsure, smaller))
    far = LINF.distance(found, unsure.batch.x)
    assert far.max() <= share * 0.1 + 1e-6
    assert far.median() >= 0.9 * share * 0.1


def seeded(chosen: Method, unsure: Unsure, run: Run) -> Tensor:
    torch.manual_seed(5)
    return chosen.perturb(unsure.model, unsure.batch, run)


def test_the_attack_raises_the_soft_cross_entropy(unsure: Unsure) -> None:
    """Whose slopes are the KL's, because the natural prediction stays."""
    clean, x = unsure.model(unsure.batch.x), LINF.random_start(unsure.batch.x).requires_grad_()
    attacked = unsure.model(x)
    one, other = (
        torch.autograd.grad(loss, x, retain_graph=True)[0]
        for loss in (kl(attacked, clean).sum(),
                     F.cross_entropy(attacked, clean.softmax(1), reduction="sum"))
    )  # fmt: skip
    assert torch.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("steps", [0, 5])
def test_passes_of_a_step(steps: int, batch: Batch, run: Run) -> None:
    model, chosen = tiny.classifier(), make(**{"attack.steps": steps})
    run.state = chosen.init(model, run)
    assert (
        spent(chosen, model, batch, run) == chosen.passes("train") == Passes(steps + 3, steps + 2)
    )


def test_presets_are_the_authors() -> None:
    found = method("ikl", "cifar10")
    assert found.attack == PGD(steps=5, start="gaussian")  # type: ignore[attr-defined]
    assert found.attack.size(LINF) == pytest.approx(0.05)  # type: ignore[attr-defined]
    values = found.alpha, found.beta, found.temperature, found.ramp  # type: ignore[attr-defined]
    assert values == (4, 20, 4, 1)
