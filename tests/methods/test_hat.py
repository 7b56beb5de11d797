"""HAT: its loss against a slow loop, TRADES without helpers, and two stages for two networks."""

import math
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from robench.adversary.pgd import PGD
from robench.check import tiny
from robench.check.finding import equal, snapshot
from robench.data.batches import Batch
from robench.events import Epoch, Event
from robench.models.passes import Passes
from robench.models.taught import Taught
from robench.threat import Threat
from robench.training.method import Method, Run, method
from robench.training.train import Trained, train
from tests.conftest import Unsure
from tests.methods.costs import spent

LINF = Threat("Linf", 0.1)
TAUGHT_FIRST = ["hat", "ltd"]
"""Methods whose teacher has a stage of its own."""


def make(**changes: object) -> Method:
    return method("hat", changes=changes)


def at(stage: str, threat: Threat = LINF) -> Run:
    return Run(threat, 256, 4, 3, stage=stage, progress=0.5)


def built(chosen: Method, run: Run) -> Taught:
    torch.manual_seed(1)
    model = chosen.build(tiny.classifier, run)
    assert isinstance(model, Taught)
    return model


@pytest.fixture
def taught(unsure: Unsure) -> Taught:
    """The half-learnt network, and one that knows something else."""
    torch.manual_seed(2)
    return Taught(unsure.model, nn.Sequential(nn.Flatten(), nn.Linear(192, 4))).eval()


def softmax(logits: list[float]) -> list[float]:
    powers = [math.exp(v - max(logits)) for v in logits]
    return [v / sum(powers) for v in powers]


def loop(model: Taught, batch: Batch, x_adv: Tensor, h: float) -> tuple[float, float, float]:
    """Natural cross-entropy, KL, and the helpers' cross-entropy, image by image."""
    natural = divergence = helpers = 0.0
    for x, moved, label in zip(batch.x, x_adv, batch.y.tolist(), strict=True):
        p, q = softmax(model.student(x[None])[0].tolist()), softmax(model(moved[None])[0].tolist())
        far = softmax(model.student((x + h * (moved - x))[None])[0].tolist())
        opinion = model.teacher(moved[None])[0].tolist()
        natural -= math.log(p[label])
        divergence += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
        helpers -= math.log(far[opinion.index(max(opinion))])
    count = len(batch.y)
    return natural / count, divergence / count, helpers / count


@pytest.mark.parametrize("h", [0.0, 1.0, 2.0])
@pytest.mark.parametrize(("beta", "gamma"), [(2.5, 0.5), (0.0, 2.0), (2.5, 0.0)])
def test_loss_against_a_loop(
    beta: float, gamma: float, h: float, taught: Taught, unsure: Unsure
) -> None:
    torch.manual_seed(0)
    x_adv = LINF.random_start(unsure.batch.x)
    natural, divergence, helpers = loop(taught, unsure.batch, x_adv, h)
    chosen = make(beta=beta, gamma=gamma, h=h)
    found = chosen.loss(taught, unsure.batch, x_adv, at("train")).item()
    assert found == pytest.approx(natural + beta * divergence + gamma * helpers, rel=1e-4)


def test_helpers_lie_beyond_and_may_leave_the_unit_cube(unsure: Unsure) -> None:
    class Spy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[Tensor] = []

        def forward(self, x: Tensor) -> Tensor:
            self.seen.append(x)
            logits: Tensor = unsure.model(x)
            return logits

    model, x = Taught(Spy(), Spy()), unsure.batch.x
    x_adv = (x + 0.1).clamp(0, 1)
    make().loss(model, unsure.batch, x_adv, at("train"))
    assert isinstance(model.student, Spy)
    assert isinstance(model.teacher, Spy)
    assert torch.allclose(model.student.seen[-1] - x, 2 * (x_adv - x), atol=1e-6)
    assert model.student.seen[-1].max() > 1.01
    assert [torch.equal(seen, x_adv) for seen in model.teacher.seen] == [True]


def steps(chosen: Method, model: nn.Module, batch: Batch, run: Run, prefix: str = "") -> None:
    """Three of them, as the loop over epochs makes them."""
    weights = [p for name, p in model.named_parameters() if name.startswith(prefix)]
    optimizer = torch.optim.SGD(weights, 0.5)
    torch.manual_seed(8)
    for _ in range(3):
        chosen.step(model.train(), batch, run, optimizer)


def alone(chosen: Method, batch: Batch, run: Run) -> dict[str, Tensor]:
    torch.manual_seed(1)
    model = tiny.classifier()
    steps(chosen, model, batch, run)
    return snapshot(model)


def test_without_helpers_the_student_is_trained_as_by_trades(batch: Batch, run: Run) -> None:
    students = []
    for gamma in (0.0, 0.5):
        model = built(make(beta=6, gamma=gamma), run)
        steps(make(beta=6, gamma=gamma), model, batch, run, "student.")
        students.append(snapshot(model.student))
    trades = alone(method("trades", changes={"beta": 6}), batch, run)
    assert equal(students[0], trades)
    assert not equal(students[1], trades)


@pytest.mark.parametrize("name", TAUGHT_FIRST)
def test_first_the_teacher_is_trained_as_by_natural_training(name: str, batch: Batch) -> None:
    chosen, run = method(name), at("teacher")
    model = built(chosen, run)
    student, fresh = snapshot(model.student), snapshot(model.teacher)
    assert chosen.perturb(model, batch, run) is batch.x
    steps(chosen, model, batch, run, "teacher.")
    assert equal(student, snapshot(model.student))
    other = tiny.classifier()
    other.load_state_dict(fresh)
    steps(method("natural"), other, batch, run)
    assert equal(snapshot(model.teacher), snapshot(other))
    assert not equal(snapshot(model.teacher), fresh)


@pytest.mark.parametrize("name", TAUGHT_FIRST)
def test_then_the_teacher_stays_bit_for_bit(name: str, batch: Batch, run: Run) -> None:
    chosen = method(name)
    model = built(chosen, run)
    before = snapshot(model.teacher), snapshot(model.student)
    steps(chosen, model, batch, run, "student.")
    assert equal(before[0], snapshot(model.teacher))
    assert not equal(before[1], snapshot(model.student))
    assert all(p.grad is None for p in model.teacher.parameters())
    assert model.teacher.training


@pytest.mark.parametrize("name", TAUGHT_FIRST)
def test_a_teacher_advises_in_eval_mode(name: str, batch: Batch, run: Run) -> None:
    """With running statistics, so that the label of an image does not depend on the others."""
    chosen, found = method(name, changes={"attack.start": "none"}), []
    for mode in (True, False):
        model = built(chosen, run).eval()
        model.teacher.train(mode)
        found.append(chosen.loss(model, batch, batch.x, run))
    assert torch.equal(*found)


@pytest.mark.parametrize("name", TAUGHT_FIRST)
def test_what_is_deployed_is_what_the_stage_trains(name: str, run: Run) -> None:
    chosen = method(name)
    model = built(chosen, run)
    stages = chosen.stages()
    assert [(stage.name, stage.share, stage.prefix) for stage in stages] == [
        ("teacher", 1.0, "teacher."), ("train", 1.0, "student."),
    ]  # fmt: skip
    assert chosen.deploy(model, at("teacher")) is model.teacher
    assert chosen.deploy(model, at("train")) is model.student
    assert torch.equal(model(torch.ones(1, 3, 8, 8)), model.student(torch.ones(1, 3, 8, 8)))


@cache
def trained(name: str) -> tuple[Trained, list[Event]]:
    """Two epochs a stage."""
    told: list[Event] = []
    chosen = method(name, changes={"attack.steps": 1})
    recipe = replace(tiny.RECIPE, epochs=2)
    data, threat = tiny.data(), Threat("Linf", 8 / 255)
    return train(chosen, tiny.classifier, data, recipe, threat, 0, told.append), told


@pytest.mark.parametrize("name", TAUGHT_FIRST)
def test_validation_looks_at_the_teacher_then_at_the_student(name: str) -> None:
    kept, told = trained(name)
    looks = [(event.stage, event.validation_natural) for event in told if isinstance(event, Epoch)]
    assert [stage for stage, _ in looks] == ["teacher", "teacher", "train", "train"]
    last, images = snapshot_of(kept, "model.teacher."), tiny.data().validation
    teacher = tiny.classifier()
    teacher.load_state_dict(last)
    right = (teacher.eval()(images.x()).argmax(1) == images.y).float().mean().item()
    assert looks[1][1] == right > 0.6  # the student has learnt nothing yet
    assert kept.best.stage == "train"


def snapshot_of(kept: Trained, prefix: str) -> dict[str, Tensor]:
    tensors = kept.last.tensors
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


COSTS: list[tuple[dict[str, object], str, tuple[int, int]]] = [
    ({}, "teacher", (1, 1)),
    ({}, "train", (15, 13)),
    ({"gamma": 0.0}, "train", (13, 12)),
    ({"attack.steps": 0}, "train", (5, 3)),
]


@pytest.mark.parametrize(("changes", "stage", "expected"), COSTS)
def test_passes_of_a_step(
    changes: dict[str, object], stage: str, expected: tuple[int, int], batch: Batch
) -> None:
    chosen, run = make(**changes), at(stage)
    model = built(chosen, run)
    assert spent(chosen, model, batch, run) == chosen.passes(stage) == Passes(*expected)


def test_two_networks_have_weights_of_their_own(run: Run) -> None:
    model = built(make(), run)
    torch.manual_seed(1)
    assert equal(snapshot(model.student), snapshot(tiny.classifier()))
    assert not equal(snapshot(model.student), snapshot(model.teacher))
    one, other = ({id(p) for p in part.parameters()} for part in (model.student, model.teacher))
    assert not one & other


def test_presets_are_the_authors() -> None:
    cifar = method("hat", "cifar10")
    assert cifar.attack == PGD(steps=10, step_size=2 / 255, start="gaussian")  # type: ignore[attr-defined]
    assert (cifar.beta, cifar.gamma, cifar.h) == (2.5, 0.5, 2.0)  # type: ignore[attr-defined]
