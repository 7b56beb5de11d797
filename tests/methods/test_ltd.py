"""LTD: its loss against a slow loop, its labels, and its hosts where the teacher is right."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from robench.check import tiny
from robench.data.batches import Batch
from robench.models.passes import Passes
from robench.models.taught import Taught
from robench.threat import Threat
from robench.training.method import Method, Run, method
from tests.conftest import Unsure
from tests.methods.costs import spent

LINF = Threat("Linf", 0.1)
HOSTS = {"at": "madry", "trades": "trades"}


def make(**changes: object) -> Method:
    return method("ltd", changes=changes)


def at(stage: str = "train") -> Run:
    return Run(LINF, 256, 4, 3, stage=stage, progress=0.5)


class Knows(nn.Module):
    """Gives the classes of a batch a logit of one, and others none."""

    def __init__(self, y: Tensor) -> None:
        super().__init__()
        self.y = y

    def forward(self, x: Tensor) -> Tensor:
        return F.one_hot(self.y, 4).to(x.dtype)


def softmax(logits: list[float]) -> list[float]:
    powers = [math.exp(v - max(logits)) for v in logits]
    return [v / sum(powers) for v in powers]


@pytest.mark.parametrize("temperature", [0.3, 1.0, 5.0])
@pytest.mark.parametrize("variant", HOSTS)
def test_loss_against_a_loop(variant: str, temperature: float, unsure: Unsure) -> None:
    torch.manual_seed(2)
    model = Taught(unsure.model, nn.Sequential(nn.Flatten(), nn.Linear(192, 4)))
    x_adv, total = LINF.random_start(unsure.batch.x), 0.0
    clean, moved, taught = (
        f.tolist() for f in (model(unsure.batch.x), model(x_adv), model.teacher(unsure.batch.x))
    )
    for f, g, t in zip(clean, moved, taught, strict=True):
        p, q, label = softmax(f), softmax(g), softmax([v / temperature for v in t])
        seen = q if variant == "at" else p
        total -= sum(a * math.log(b) for a, b in zip(label, seen, strict=True))
        if variant == "trades":
            total += 3 * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    chosen = make(variant=variant, temperature=temperature, beta=3)
    found = chosen.loss(model, unsure.batch, x_adv, at()).item()
    assert found == pytest.approx(total / 256, rel=1e-5)


def ends(chosen: Method, model: nn.Module, batch: Batch, run: Run) -> list[Tensor]:
    """Images, loss, and the gradients of a student."""
    torch.manual_seed(3)
    x_adv = chosen.perturb(model.eval(), batch, run)
    loss = chosen.loss(model.train(), batch, x_adv, run)
    student = model.student if isinstance(model, Taught) else model
    return [x_adv, loss, *torch.autograd.grad(loss, list(student.parameters()))]


def student() -> nn.Module:
    torch.manual_seed(2)
    return tiny.classifier()


@pytest.mark.parametrize("variant", HOSTS)
def test_a_sharp_teacher_that_is_right_leaves_the_host(
    variant: str, batch: Batch, run: Run
) -> None:
    """Its images bit for bit; sums over soft labels are rounded in another order."""
    host = method(HOSTS[variant])
    start = host.attack.start  # type: ignore[attr-defined]
    sharp, soft = (
        make(variant=variant, temperature=temperature, **{"attack.start": start})
        for temperature in (1e-3, 1.0)
    )
    expected = ends(host, student(), batch, run)
    found = ends(sharp, Taught(student(), Knows(batch.y)), batch, run)
    assert torch.equal(found[0], expected[0])
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-8)
    wrong = ends(sharp, Taught(student(), Knows((batch.y + 1) % 4)), batch, run)
    unsure = ends(soft, Taught(student(), Knows(batch.y)), batch, run)
    for x_adv, loss, *_ in (wrong, unsure):
        assert torch.equal(x_adv, expected[0])  # the attack asks no teacher
        assert (loss - expected[1]).abs() > 1e-2


LTD = make()


def labels(logits: Tensor, temperature: float) -> Tensor:
    found: Tensor = replace(LTD, temperature=temperature).labels(logits)  # type: ignore[call-arg, attr-defined]
    return found


Logits = st.lists(st.floats(-1e3, 1e3, width=32), min_size=4, max_size=4)


@given(logits=Logits, power=st.integers(-44, 30))
def test_labels_are_probabilities_at_any_temperature(logits: list[float], power: int) -> None:
    f = torch.tensor([logits])
    found = labels(f, 10.0**power)
    assert found.sum().item() == pytest.approx(1, abs=1e-5)
    assert found.min() >= 0
    assert found[0, f.argmax()] == found.max()


@given(logits=Logits)
def test_they_go_from_the_prediction_to_all_classes_alike(logits: list[float]) -> None:
    f = torch.tensor([logits])
    flat, own, sharp = (labels(f, t) for t in (1e9, 1.0, 1e-44))
    assert torch.allclose(flat, torch.full((1, 4), 0.25), atol=1e-5)
    assert torch.allclose(own, f.softmax(1), atol=1e-6)
    best = (f == f.max()).float()
    assert torch.allclose(sharp, best / best.sum())


COSTS: list[tuple[dict[str, object], str, tuple[int, int]]] = [
    ({}, "teacher", (1, 1)),
    ({}, "train", (12, 11)),
    ({"variant": "trades"}, "train", (14, 12)),
    ({"attack.steps": 0}, "train", (2, 1)),
]


@pytest.mark.parametrize(("changes", "stage", "expected"), COSTS)
def test_passes_of_a_step(
    changes: dict[str, object], stage: str, expected: tuple[int, int], batch: Batch
) -> None:
    chosen, run = make(**changes), at(stage)
    model = chosen.build(tiny.classifier, run)
    assert spent(chosen, model, batch, run) == chosen.passes(stage) == Passes(*expected)


def test_attacks_are_adversarial_trainings() -> None:
    for dataset in ("mnist", "cifar10", "digits"):
        ltd, madry = method("ltd", dataset), method("madry", dataset)
        assert ltd.attack == madry.attack  # type: ignore[attr-defined]
