"""FAT: when images stop, how long they are let go on, what it reduces to, and its cost."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from robench.adversary.pgd import PGD
from robench.check import tiny
from robench.check.finding import equal, snapshot
from robench.data.batches import Batch
from robench.models.passes import counted
from robench.radius import BALLS, Norm
from robench.threat import Threat
from robench.training.method import Method, Run, method
from tests.conftest import Unsure

EPS, SIZE = 0.1, 0.03
STILL: dict[str, object] = {"attack.start": "none"}
EXACT: dict[str, object] = {"noise": 0, "grows": ()}


def make(**changes: object) -> Method:
    return method("fat", changes=changes)


def started(eps: float = EPS, progress: float = 0.0, norm: Norm = "Linf") -> Run:
    return Run(Threat(norm, eps), 256, 4, 3, progress=progress)


def friendly(model: nn.Module, image: Tensor, x: Tensor, y: Tensor, tau: int) -> tuple[Tensor, int]:
    """One image's way from ``x`` in at most six steps, and how many it made."""
    for made in range(6):
        leaf = x.clone().requires_grad_()
        logits = model(leaf)
        if logits.argmax() != y:
            if tau == 0:
                return x, made
            tau -= 1
        (slope,) = torch.autograd.grad(F.cross_entropy(logits, y), leaf)
        x = (x + SIZE * slope.sign()).clamp(image - EPS, image + EPS).clamp(0, 1)
    return x, 6


@pytest.mark.parametrize("tau", [0, 1, 3])
def test_images_against_a_loop(tau: int, unsure: Unsure) -> None:
    """In double precision, where no gradient changes its sign by rounding."""
    model, some = copy.deepcopy(unsure.model).double(), torch.arange(48)
    x, y = unsure.batch.x[some].double(), unsure.batch.y[some]
    chosen = make(tau=tau, **EXACT, **{"attack.steps": 6, "attack.step_size": SIZE})
    torch.manual_seed(3)
    run = started()
    found = chosen.perturb(model, Batch(x, y, some), run)
    torch.manual_seed(3)
    starts, made = run.threat.random_start(x), []
    for i in range(48):
        row = slice(i, i + 1)
        expected, steps = friendly(model, x[row], starts[row], y[row], tau)
        assert torch.allclose(found[row], expected, atol=1e-9)
        made.append(steps)
    assert len(set(made)) > 2  # they stop at different times
    assert run.told()["steps"] == pytest.approx(sum(made) / 48)


class Told(nn.Module):
    """Wrong at the iterates that an image says, by all of its pixels but the first.

    The loss rises with the first pixel alone, which so counts the steps.
    """

    def forward(self, x: Tensor) -> Tensor:
        pixels = x.flatten(1)
        step = ((pixels[:, :1] - 0.1) / 0.1).round().long().detach()
        verdict = 2 * pixels[:, 1:].gather(1, step).squeeze(1).detach() - 1
        return torch.stack([torch.zeros_like(verdict), verdict + 1e-3 * pixels[:, 0]], 1)


FIVE = make(**STILL, noise=0, **{"attack.steps": 5, "attack.step_size": 0.1})


def steps_made(wrong: list[list[int]], run: Run, **changes: object) -> list[int]:
    """How far images go that are wrong at the iterates marked 1, of five steps at most."""
    rows = torch.tensor([[0.1, *row, 0] for row in wrong])
    batch = Batch(rows[:, None, None], torch.zeros(len(rows), dtype=torch.long), torch.arange(9))
    x_adv = replace(FIVE, **changes).perturb(Told(), batch, run)
    assert torch.equal(x_adv[..., 1:], batch.x[..., 1:])
    return [round(10 * (first - 0.1)) for first in x_adv[:, 0, 0, 0].tolist()]


def allowed(wrong: list[int], tau: int) -> int:
    """Steps until the iterate that is one mistake too many."""
    mistakes = [step for step, is_wrong in enumerate(wrong) if is_wrong]
    return mistakes[tau] if tau < len(mistakes) else 5


@given(
    wrong=st.lists(st.lists(st.integers(0, 1), min_size=5, max_size=5), min_size=1, max_size=9),
    tau=st.integers(0, 6),
)
def test_an_image_stops_at_one_mistake_more_than_tau(wrong: list[list[int]], tau: int) -> None:
    found = steps_made(wrong, started(eps=1.0), tau=tau, grows=())
    assert found == [allowed(row, tau) for row in wrong]


def test_tau_grows_with_progress() -> None:
    always = [[1] * 5]
    expected = {0.0: 0, 49.9 / 120: 0, 50 / 120: 1, 89.9 / 120: 1, 90 / 120: 2, 0.999: 2}
    for progress, tau in expected.items():
        run = started(eps=1.0, progress=progress)
        assert steps_made(always, run) == [tau]
        assert steps_made(always, run, tau=2) == [tau + 2]
        assert steps_made(always, run, grows=()) == [0]
        assert steps_made(always, run, grows=(0.0, 0.0, 0.0)) == [3]


def trained(chosen: Method, batch: Batch, run: Run) -> dict[str, Tensor]:
    """Weights and statistics after three steps on one batch, from one seed."""
    torch.manual_seed(1)
    model = tiny.classifier()
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    for _ in range(3):
        chosen.step(model.train(), batch, run, optimizer)
    return snapshot(model)


def test_with_tau_of_all_steps_it_is_adversarial_training(batch: Batch, run: Run) -> None:
    expected = trained(method("madry"), batch, run)
    assert equal(trained(make(tau=10, **EXACT), batch, run), expected)
    assert equal(trained(make(tau=8, noise=0, grows=(0, 0.5)), batch, run), expected)
    for weaker in (make(tau=0, **EXACT), make(tau=8, noise=0, grows=(0.6, 0.7)), make(tau=10)):
        assert not equal(trained(weaker, batch, run), expected)


def test_without_steps_and_start_it_is_natural_training(batch: Batch, run: Run) -> None:
    found = trained(make(**STILL, **{"attack.steps": 0}), batch, run)
    assert equal(found, trained(method("natural"), batch, run))


def test_every_step_has_noise(unsure: Unsure) -> None:
    class Flat(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            """Always right, with no slope."""
            return torch.tensor([[1.0, 0.0]]).repeat(len(x), 1) + 0 * x.sum()

    x, y = torch.full((64, 3, 8, 8), 0.5), torch.zeros(64, dtype=torch.long)
    for steps in (1, 4):
        chosen = make(**STILL, **{"attack.steps": steps})
        moved = chosen.perturb(Flat(), Batch(x, y, torch.arange(64)), started()) - x
        assert moved.std().item() == pytest.approx(0.001 * steps**0.5, rel=0.05)


@pytest.mark.parametrize("norm", BALLS)
def test_noise_does_not_lead_out_of_the_ball(norm: Norm, unsure: Unsure) -> None:
    run = started(0.02, norm=norm)
    x_adv = make(tau=10, noise=0.1).perturb(unsure.model, unsure.batch, run)
    assert run.threat.distance(x_adv, unsure.batch.x).max() <= 0.02 + 1e-6
    assert x_adv.min() >= 0
    assert x_adv.max() <= 1


def spent(chosen: Method, batch: Batch, run: Run) -> tuple[float, float]:
    torch.manual_seed(1)
    model = tiny.classifier()
    with counted(model) as passes:
        chosen.step(model.train(), batch, run, torch.optim.SGD(model.parameters(), 0.1))
    return passes.forwards / len(batch.y), passes.backwards / len(batch.y)


@pytest.mark.parametrize("steps", [0, 1, 10])
def test_passes_of_a_step(steps: int, batch: Batch, run: Run) -> None:
    chosen = make(tau=10, **{"attack.steps": steps})
    declared = chosen.passes("train")
    found = spent(chosen, batch, run)
    assert found == (declared.forwards, declared.backwards) == (steps + 1, steps + 1)


def test_images_that_have_stopped_cost_nothing(batch: Batch, run: Run) -> None:
    torch.manual_seed(1)
    model = tiny.classifier().eval()
    logits = model(batch.x)
    for tau, passes in ((0, 2), (3, 5)):  # of images that are wrong from the start
        wrong = Batch(batch.x, logits.argmin(1), batch.index)
        assert spent(make(tau=tau, grows=(), **STILL), wrong, run) == (passes, passes)
    half = torch.where(torch.arange(64) < 32, logits.argmin(1), batch.y)
    mixed = Batch(batch.x, half, batch.index)
    assert spent(make(**EXACT, **STILL), mixed, run) < spent(make(tau=10, **EXACT), mixed, run)


def test_presets_are_the_authors() -> None:
    fat = method("fat", "cifar10")
    assert fat.attack == PGD(steps=10, step_size=0.007)  # type: ignore[attr-defined]
    assert (fat.tau, fat.noise) == (0, 0.001)  # type: ignore[attr-defined]
    assert fat.grows == (50 / 120, 90 / 120)  # type: ignore[attr-defined]
    assert method("fat", "mnist").attack == method("madry", "mnist").attack  # type: ignore[attr-defined]
