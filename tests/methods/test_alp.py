"""ALP: its loss against a slow loop, what it reduces to, and its cost."""

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
from robench.data.batches import Batch
from robench.models.passes import Passes
from robench.threat import Threat
from robench.training.method import Method, Run, method
from tests.conftest import Unsure
from tests.methods.costs import spent
from tests.methods.gradients import gradients

LINF = Threat("Linf", 0.1)
PLAIN: dict[str, object] = {"weight": 0, "natural_share": 0}


def make(**changes: object) -> Method:
    return method("alp", changes=changes)


def started() -> Run:
    return Run(LINF, 256, 4, 3, progress=0.5)


def small() -> nn.Module:
    """Four logits of 8x8 images, without batch normalisation."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 32), nn.ReLU(), nn.Linear(32, 4))


@pytest.fixture
def attacked(unsure: Unsure) -> Tensor:
    """Perturbed images that differ from the originals."""
    torch.manual_seed(0)
    return LINF.random_start(unsure.batch.x)


def loop(
    natural: Tensor, attacked: Tensor, y: Tensor, weight: float, share: float
) -> tuple[float, float]:
    """The cross-entropies, and the weighted pairing, number by number."""
    right = pairing = 0.0
    for f, g, label in zip(natural.tolist(), attacked.tolist(), y.tolist(), strict=True):
        for logits, part in ((f, share), (g, 1 - share)):
            right += part * (math.log(sum(map(math.exp, logits))) - logits[label])
        pairing += weight * sum((a - b) ** 2 for a, b in zip(f, g, strict=True)) / len(f)
    return right / len(y), pairing / len(y)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("weight", [0.0, 0.5, 3.0])
def test_loss_against_a_loop(weight: float, share: float, unsure: Unsure, attacked: Tensor) -> None:
    model, batch = unsure.model, unsure.batch
    right, pairing = loop(model(batch.x), model(attacked), batch.y, weight, share)
    assert (pairing > 0.01) == (weight > 0)
    chosen = make(weight=weight, natural_share=share)
    found = chosen.loss(model, batch, attacked, started()).item()
    assert found == pytest.approx(right + pairing, rel=1e-5)


def test_half_natural_is_the_cross_entropy_of_both_in_one_batch(
    unsure: Unsure, attacked: Tensor
) -> None:
    """As the authors train."""
    model, batch = unsure.model, unsure.batch
    chosen = make(weight=0, natural_share=0.5)
    both = F.cross_entropy(model(torch.cat([batch.x, attacked])), batch.y.repeat(2))
    found = chosen.loss(model, batch, attacked, started()).item()
    assert found == pytest.approx(both.item(), rel=1e-6)


def test_without_weight_loss_and_gradients_are_adversarial_trainings(
    batch: Batch, run: Run
) -> None:
    """With batch normalisation, which is why weights are the next test's."""
    chosen = make(**PLAIN)
    found = [gradients(one, batch, run) for one in (chosen, method("madry"))]
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_without_weight_and_statistics_it_trains_as_adversarial_training_does(
    batch: Batch, run: Run
) -> None:
    found = []
    for chosen in (make(**PLAIN), method("madry"), make()):
        model = small()
        optimizer = torch.optim.SGD(model.parameters(), 0.5)
        torch.manual_seed(8)
        for _ in range(3):
            chosen.step(model.train(), batch, run, optimizer)
        found.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_an_image_that_was_not_perturbed_is_its_own_pair(share: float, batch: Batch) -> None:
    torch.manual_seed(0)
    model, chosen = tiny.classifier(), make(weight=1e3, natural_share=share)
    run = Run(Threat("Linf", 0.0), 256, 4, 3)
    x_adv = chosen.perturb(model, batch, run)
    found = chosen.loss(model, batch, x_adv, run).item()
    assert found == pytest.approx(F.cross_entropy(model(batch.x), batch.y).item(), rel=1e-6)


PAIRED = make(natural_share=1)


@given(shift=st.floats(-2, 2), weight=st.floats(0, 5))
def test_the_pairing_is_the_square_of_what_logits_move_by(shift: float, weight: float) -> None:
    """Of the only logit that moves; the images of a network that passes them on are the logits."""
    chosen = replace(PAIRED, weight=weight)  # type: ignore[call-arg]
    x, y = torch.zeros(5, 1, 2, 2), torch.arange(5) % 4
    x_adv = x.clone()
    x_adv[:, 0, 1, 0] += shift
    found = chosen.loss(nn.Flatten(), Batch(x, y, torch.arange(5)), x_adv, started()).item()
    assert found == pytest.approx(math.log(4) + weight * shift**2 / 4, rel=1e-5)


def test_gradients_flow_through_both_of_a_pair(unsure: Unsure, attacked: Tensor) -> None:
    ends = [x.clone().requires_grad_() for x in (unsure.batch.x, attacked)]
    batch = Batch(ends[0], unsure.batch.y, unsure.batch.index)
    loss = make(weight=2).loss(unsure.model, batch, ends[1], started())
    found = torch.autograd.grad(loss, ends)
    gap = unsure.model(ends[0]) - unsure.model(ends[1])
    expected = torch.autograd.grad(
        F.cross_entropy(unsure.model(ends[1]), batch.y) + 2 * gap.square().sum() / (256 * 4), ends
    )
    for one, other in zip(found, expected, strict=True):
        assert one.abs().max() > 1e-4
        assert torch.allclose(one, other, atol=1e-7)


@pytest.mark.parametrize("steps", [0, 10])
def test_passes_of_a_step(steps: int, batch: Batch, run: Run) -> None:
    model, chosen = tiny.classifier(), make(**{"attack.steps": steps})
    assert (
        spent(chosen, model, batch, run) == chosen.passes("train") == Passes(steps + 2, steps + 2)
    )


def test_attacks_are_adversarial_trainings() -> None:
    for dataset in ("mnist", "cifar10", "digits"):
        alp, madry = method("alp", dataset), method("madry", dataset)
        assert alp.attack == madry.attack  # type: ignore[attr-defined]
    assert method("alp", "mnist").attack == PGD(steps=40, step_size=0.01)  # type: ignore[attr-defined]
