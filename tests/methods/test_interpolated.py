"""Interpolated adversarial training: its loss against a slow loop, its limits, and its cost."""

import math
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
from robench.models.passes import Passes
from robench.threat import Threat
from robench.training.method import Method, Run, method
from tests.conftest import Unsure
from tests.methods.costs import spent

LINF = Threat("Linf", 0.1)


def make(**changes: object) -> Method:
    return method("interpolated", changes=changes)


def started(threat: Threat = LINF) -> Run:
    return Run(threat, 256, 4, 3, progress=0.5)


@pytest.fixture
def attacked(unsure: Unsure) -> Tensor:
    """Perturbed images that differ from the originals."""
    torch.manual_seed(0)
    return LINF.random_start(unsure.batch.x)


def mixture(model: nn.Module, x: Tensor, y: Tensor, alpha: float) -> tuple[float, float]:
    """The share that is drawn next, and the mixed cross-entropy, image by image."""
    share = torch.distributions.Beta(alpha, alpha).sample().item()
    other, total = torch.randperm(len(y)).tolist(), 0.0
    for i, j in enumerate(other):
        row = model(share * x[i : i + 1] + (1 - share) * x[j : j + 1])[0].tolist()
        norm = math.log(sum(map(math.exp, row)))
        total += norm - share * row[int(y[i])] - (1 - share) * row[int(y[j])]
    return share, total / len(y)


def loss_of(unsure: Unsure, x_adv: Tensor, alpha: float | None) -> float:
    torch.manual_seed(5)
    return make(alpha=alpha).loss(unsure.model, unsure.batch, x_adv, started()).item()


@pytest.mark.parametrize("alpha", [0.3, 1.0, 8.0])
def test_loss_against_a_loop(alpha: float, unsure: Unsure, attacked: Tensor) -> None:
    """Each half has a share and a permutation of its own."""
    found = loss_of(unsure, attacked, alpha)
    torch.manual_seed(5)
    natural = mixture(unsure.model, unsure.batch.x, unsure.batch.y, alpha)
    adversarial = mixture(unsure.model, attacked, unsure.batch.y, alpha)
    assert found == pytest.approx((natural[1] + adversarial[1]) / 2, rel=1e-5)
    assert natural[0] != adversarial[0]
    assert natural[1] != pytest.approx(adversarial[1], rel=0.01)


def test_at_eps_zero_it_is_mixup_of_two_mixtures(unsure: Unsure) -> None:
    run, x = started(Threat("Linf", 0.0)), unsure.batch.x
    x_adv = make().perturb(unsure.model, unsure.batch, run)
    assert torch.equal(x_adv, x)
    found = loss_of(unsure, x_adv, 1.0)
    torch.manual_seed(5)
    mixtures = [mixture(unsure.model, x, unsure.batch.y, 1.0)[1] for _ in range(2)]
    assert found == pytest.approx(sum(mixtures) / 2, rel=1e-5)


def test_unmixed_it_is_half_natural_half_adversarial(unsure: Unsure, attacked: Tensor) -> None:
    model, batch = unsure.model, unsure.batch
    natural, adversarial = (F.cross_entropy(model(x), batch.y) for x in (batch.x, attacked))
    assert loss_of(unsure, attacked, None) == ((natural + adversarial) / 2).item()


def trained(chosen: Method, batch: Batch, run: Run) -> dict[str, Tensor]:
    """Weights and statistics after three steps on one batch, from one seed."""
    torch.manual_seed(1)
    model = tiny.classifier()
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    for _ in range(3):
        chosen.step(model.train(), batch, run, optimizer)
    return snapshot(model)


def test_unmixed_it_trains_as_logit_pairing_without_its_pairs(batch: Batch, run: Run) -> None:
    """Bit for bit: another way to have natural and adversarial images in halves."""
    halves = method("alp", changes={"weight": 0, "natural_share": 0.5})
    expected = trained(halves, batch, run)
    assert equal(trained(make(alpha=None), batch, run), expected)
    assert not equal(trained(make(), batch, run), expected)


PLAIN = make()


@given(alpha=st.none() | st.floats(0.01, 50), seed=st.integers(0, 99))
def test_who_is_mixed_with_the_same_stays_the_same(alpha: float | None, seed: int) -> None:
    """A batch of one image many times; no share is out of range or no number."""
    torch.manual_seed(seed)
    x, y = torch.rand(1, 1, 2, 2).repeat(6, 1, 1, 1), torch.full((6,), 2)
    chosen = replace(PLAIN, alpha=alpha)  # type: ignore[call-arg]
    found = chosen.loss(nn.Flatten(), Batch(x, y, torch.arange(6)), x, started())
    assert found.item() == pytest.approx(F.cross_entropy(x.flatten(1), y).item(), rel=1e-4)


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0, 20.0])
def test_shares_follow_alpha(alpha: float) -> None:
    """Read off a network that sees a bright and a dark image."""
    x, seen = torch.tensor([1.0, 0.0]).view(2, 1, 1, 1), []

    class Seeing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.flatten())
            return x.flatten(1)

    batch, chosen = Batch(x, torch.zeros(2, dtype=torch.long), torch.arange(2)), make(alpha=alpha)
    torch.manual_seed(0)
    for _ in range(150):
        chosen.loss(Seeing(), batch, x, started())
    found = (torch.stack(seen) - 0.5).square().mean().item()
    # Half of the time each is mixed with itself; the variance of Beta(a, a) is 1 / (8a + 4).
    assert found == pytest.approx((1 / 4 + 1 / (8 * alpha + 4)) / 2, rel=0.07)


@pytest.mark.parametrize("steps", [0, 7])
def test_passes_of_a_step(steps: int, batch: Batch, run: Run) -> None:
    model, chosen = tiny.classifier(), make(**{"attack.steps": steps})
    assert (
        spent(chosen, model, batch, run) == chosen.passes("train") == Passes(steps + 2, steps + 2)
    )


def test_presets() -> None:
    interpolated = method("interpolated", "cifar10")
    assert interpolated.attack == PGD(steps=7, step_size=2 / 255)  # type: ignore[attr-defined]
    assert interpolated.alpha == 1  # type: ignore[attr-defined]
