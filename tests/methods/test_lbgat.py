"""LBGAT: its loss against a slow loop, whom its parts move, and what it reduces to."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robench.adversary.pgd import PGD
from robench.check import tiny
from robench.check.finding import equal, snapshot
from robench.data.batches import Batch
from robench.models.passes import Passes
from robench.models.taught import Taught
from robench.threat import Threat
from robench.training.method import Method, Run, method
from tests.conftest import Unsure
from tests.methods.costs import spent

LINF = Threat("Linf", 0.1)


def make(**changes: object) -> Method:
    return method("lbgat", changes=changes)


def started() -> Run:
    return Run(LINF, 256, 4, 3, progress=0.5)


def built(run: Run) -> Taught:
    torch.manual_seed(1)
    model = make().build(tiny.classifier, run)
    assert isinstance(model, Taught)
    return model


@pytest.fixture
def attacked(unsure: Unsure) -> Tensor:
    """Perturbed images that differ from the originals."""
    torch.manual_seed(0)
    return LINF.random_start(unsure.batch.x)


def softmax(logits: list[float]) -> list[float]:
    powers = [math.exp(v - max(logits)) for v in logits]
    return [v / sum(powers) for v in powers]


@pytest.mark.parametrize("beta", [0.0, 6.0])
def test_loss_against_a_loop(beta: float, unsure: Unsure, attacked: Tensor) -> None:
    torch.manual_seed(2)
    model = Taught(unsure.model, nn.Sequential(nn.Flatten(), nn.Linear(192, 4)))
    clean, moved, taught = (
        f.tolist() for f in (model(unsure.batch.x), model(attacked), model.teacher(unsure.batch.x))
    )
    total = 0.0
    for f, g, t, label in zip(clean, moved, taught, unsure.batch.y.tolist(), strict=True):
        p, q = softmax(f), softmax(g)
        total += sum((a - b) ** 2 for a, b in zip(g, t, strict=True)) / 4
        total -= math.log(softmax(t)[label])
        total += beta * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    found = make(beta=beta).loss(model, unsure.batch, attacked, started()).item()
    assert found == pytest.approx(total / 256, rel=1e-5)


def test_it_is_attacked_as_by_trades(unsure: Unsure) -> None:
    found = []
    for chosen, model in (
        (make(), Taught(unsure.model, nn.Identity())), (method("trades"), unsure.model)
    ):  # fmt: skip
        torch.manual_seed(3)
        found.append(chosen.perturb(model, unsure.batch, started()))
    assert torch.equal(*found)


def slopes(loss: Tensor, network: nn.Module) -> Tensor:
    found = torch.autograd.grad(loss, list(network.parameters()), retain_graph=True)
    return torch.cat([g.flatten() for g in found])


@pytest.fixture
def moved(batch: Batch) -> Tensor:
    torch.manual_seed(0)
    return LINF.random_start(batch.x)


def test_a_student_that_teaches_itself_is_trained_by_trades(batch: Batch, moved: Tensor) -> None:
    """But for the squared distance; in eval mode, where a third pass changes no statistics."""
    torch.manual_seed(1)
    model = tiny.classifier().eval()
    loss = make(beta=6).loss(Taught(model, model), batch, moved, started())
    distance = F.mse_loss(model(moved), model(batch.x))
    trades = method("trades", changes={"beta": 6}).loss(model, batch, moved, started())
    assert distance > 1e-6
    assert torch.allclose(loss - distance, trades, rtol=1e-6)
    rest = slopes(loss, model) - slopes(distance, model)
    assert torch.allclose(rest, slopes(trades, model), atol=1e-6)


def test_labels_reach_the_teacher_alone_and_the_distance_moves_both(
    batch: Batch, moved: Tensor, run: Run
) -> None:
    model = built(run).eval()
    loss = make(beta=0).loss(model, batch, moved, started())
    distance = F.mse_loss(model.student(moved), model.teacher(batch.x))
    natural = method("natural").loss(model.teacher, batch, batch.x, started())
    assert slopes(distance, model.teacher).abs().max() > 1e-4
    assert torch.allclose(slopes(loss, model.student), slopes(distance, model.student), atol=1e-7)
    rest = slopes(loss, model.teacher) - slopes(distance, model.teacher)
    assert torch.allclose(rest, slopes(natural, model.teacher), atol=1e-6)


def test_both_are_trained_at_once_and_the_student_is_deployed(batch: Batch, run: Run) -> None:
    chosen, model = make(), built(run)
    (stage,) = chosen.stages()
    assert (stage.name, stage.prefix) == ("train", "")
    before = snapshot(model.student), snapshot(model.teacher)
    chosen.step(model.train(), batch, run, torch.optim.SGD(model.parameters(), 0.1))
    for old, network in zip(before, (model.student, model.teacher), strict=True):
        now = snapshot(network)
        assert not any(torch.equal(old[name], now[name]) for name in old if "weight" in name)
        assert not torch.equal(old["body.1.running_mean"], now["body.1.running_mean"])
    assert chosen.deploy(model, run) is model.student
    torch.manual_seed(1)
    assert equal(before[0], snapshot(tiny.classifier()))


@pytest.mark.parametrize(("beta", "steps"), [(6.0, 10), (0.0, 10), (6.0, 0)])
def test_passes_of_a_step(beta: float, steps: int, batch: Batch, run: Run) -> None:
    model, chosen = built(run), make(beta=beta, **{"attack.steps": steps})
    assert (
        spent(chosen, model, batch, run) == chosen.passes("train") == Passes(steps + 4, steps + 3)
    )


def test_presets_are_the_authors() -> None:
    for dataset, beta in (("cifar10", 0), ("cifar100", 6)):
        found = method("lbgat", dataset)
        assert found.attack == PGD(steps=10, step_size=0.007, start="gaussian")  # type: ignore[attr-defined]
        assert found.beta == beta  # type: ignore[attr-defined]
