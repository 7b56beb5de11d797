"""GAIRAT: its weights, what they count, what it reduces to, and its cost."""

import copy
import math
from dataclasses import replace
from itertools import pairwise

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
from robench.models.passes import Passes
from robench.threat import Threat
from robench.training.method import Method, Run, method
from tests.conftest import Unsure
from tests.methods.costs import spent

EPS, SIZE = 0.04, 0.012


def make(**changes: object) -> Method:
    return method("gairat", changes=changes)


def started(progress: float = 0.5, eps: float = EPS) -> Run:
    run = Run(Threat("Linf", eps), 256, 4, 3, progress=progress)
    run.state = make().init(nn.Identity(), run)
    return run


def weighed(kappa: list[int], steps: int, shift: float) -> list[float]:
    """The formula, number by number."""
    raw = [(1 + math.tanh(shift + 5 * (1 - 2 * k / steps))) / 2 for k in kappa]
    return [len(raw) * weight / sum(raw) for weight in raw]


PLAIN = make()


def weights(kappa: list[int], steps: int, shift: float) -> list[float]:
    chosen = replace(PLAIN, shift=shift, attack=PGD(steps=steps))  # type: ignore[call-arg]
    return chosen.weights(torch.tensor(kappa).float()).tolist()  # type: ignore[attr-defined]


@pytest.mark.parametrize("shift", [-2.0, -1.0, 0.0, 1.5])
@pytest.mark.parametrize("steps", [1, 7, 10])
def test_weights_against_a_loop(steps: int, shift: float) -> None:
    kappa = [*range(steps + 1), steps, 0, 0]
    assert weights(kappa, steps, shift) == pytest.approx(weighed(kappa, steps, shift), rel=1e-4)


@given(kappa=st.lists(st.integers(0, 10), min_size=1, max_size=20), shift=st.floats(-100, 100))
def test_weights_are_one_in_the_mean_and_never_rise_with_kappa(
    kappa: list[int], shift: float
) -> None:
    found = weights(sorted(kappa), 10, shift)
    assert sum(found) == pytest.approx(len(kappa), rel=1e-4)
    assert all(later <= earlier + 1e-4 for earlier, later in pairwise(found))


def test_kappa_counts_the_iterates_that_are_right(unsure: Unsure) -> None:
    """Of those that the attack steps from, so its last one does not count."""
    model = copy.deepcopy(unsure.model).double()
    x, y = unsure.batch.x.double(), unsure.batch.y
    chosen = make(**{"attack.steps": 6, "attack.step_size": SIZE})
    run = started()
    torch.manual_seed(3)
    found = chosen.perturb(model, Batch(x, y, unsure.batch.index), run)
    torch.manual_seed(3)
    x_adv, kappa = run.threat.random_start(x), torch.zeros(256)
    for _ in range(6):
        leaf = x_adv.clone().requires_grad_()
        logits = model(leaf)
        kappa += logits.argmax(1) == y
        (slope,) = torch.autograd.grad(F.cross_entropy(logits, y, reduction="sum"), leaf)
        x_adv = (x_adv + SIZE * slope.sign()).clamp(x - EPS, x + EPS).clamp(0, 1)
    assert torch.allclose(found, x_adv, atol=1e-9)
    assert torch.equal(run.state["kappa"], kappa)
    assert len(kappa.unique()) > 5
    assert run.told()["kappa"] == pytest.approx(kappa.mean().item())


def test_only_the_batchs_counts_are_touched(unsure: Unsure) -> None:
    some = torch.tensor([200, 7, 31, 100])
    run = started()
    run.state["kappa"][:] = -1
    make().perturb(unsure.model, Batch(unsure.batch.x[some], unsure.batch.y[some], some), run)
    touched = run.state["kappa"] >= 0
    assert touched.nonzero().squeeze(1).tolist() == sorted(some.tolist())


@pytest.mark.parametrize("progress", [0.0, 0.49, 0.5, 0.9])
def test_loss_against_a_loop(progress: float, unsure: Unsure) -> None:
    run = started(progress)
    x_adv = make().perturb(unsure.model, unsure.batch, run)
    expected, rows = 0.0, unsure.model(x_adv).tolist()
    kappa = [int(k) for k in run.state["kappa"]]
    scale = [1.0] * 256 if progress < 0.5 else weighed(kappa, 10, -1.0)
    for row, label, weight in zip(rows, unsure.batch.y.tolist(), scale, strict=True):
        expected += weight * (math.log(sum(map(math.exp, row))) - row[label]) / 256
    found = make().loss(unsure.model, unsure.batch, x_adv, run).item()
    assert found == pytest.approx(expected, rel=1e-4)


def trained(chosen: Method, batch: Batch, progress: float = 0.999) -> dict[str, Tensor]:
    """Weights and statistics after three steps on one batch, from one seed."""
    torch.manual_seed(1)
    model, run = tiny.classifier(), started(progress)
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    for _ in range(3):
        chosen.step(model.train(), batch, run, optimizer)
    return snapshot(model)


def test_while_all_weigh_the_same_it_is_adversarial_training(batch: Batch) -> None:
    expected = trained(method("madry"), batch)
    assert equal(trained(make(warmup=1), batch), expected)
    assert equal(trained(make(), batch, progress=0.49), expected)
    assert not equal(trained(make(), batch, progress=0.5), expected)


def test_with_a_large_shift_it_is_adversarial_training_up_to_rounding(batch: Batch) -> None:
    found, expected = trained(make(shift=50), batch), trained(method("madry"), batch)
    for name, value in expected.items():
        assert torch.allclose(found[name], value, atol=1e-5)


@pytest.mark.parametrize("steps", [0, 1, 10])
def test_passes_of_a_step(steps: int, batch: Batch) -> None:
    model, chosen = tiny.classifier(), make(**{"attack.steps": steps})
    assert (
        spent(chosen, model, batch, started())
        == chosen.passes("train")
        == Passes(steps + 1, steps + 1)
    )


def test_presets_are_the_authors_and_it_is_a_control() -> None:
    gairat = method("gairat", "cifar10")
    assert gairat.attack == PGD(steps=10, step_size=0.007)  # type: ignore[attr-defined]
    assert (gairat.shift, gairat.warmup) == (-1, 0.5)  # type: ignore[attr-defined]
    assert "margin" in gairat.control
    assert not method("madry").control
