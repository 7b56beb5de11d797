"""CLP and LSQ: losses against slow loops, what they reduce to, and what they cost."""

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


def clp(**changes: object) -> Method:
    return method("clp", changes=changes)


def lsq(**changes: object) -> Method:
    return method("lsq", changes=changes)


def started(threat: Threat = LINF) -> Run:
    return Run(threat, 256, 4, 3, progress=0.5)


def noisy(x: Tensor, sigma: float) -> Tensor:
    """What is drawn after ``torch.manual_seed(5)``."""
    torch.manual_seed(5)
    return (x + sigma * torch.randn_like(x)).clamp(0, 1)


def loss_of(chosen: Method, unsure: Unsure, x_adv: Tensor | None = None) -> float:
    torch.manual_seed(5)
    x_adv = unsure.batch.x if x_adv is None else x_adv
    return chosen.loss(unsure.model, unsure.batch, x_adv, started()).item()


def first(unsure: Unsure, count: int) -> Unsure:
    x, y, index = (part[:count] for part in vars(unsure.batch).values())
    return replace(unsure, batch=Batch(x, y, index))


def cross_entropy(logits: Tensor, y: Tensor) -> float:
    rows = zip(logits.tolist(), y.tolist(), strict=True)
    return sum(math.log(sum(map(math.exp, f))) - f[label] for f, label in rows) / len(y)


def between(first: Tensor, second: Tensor) -> list[float]:
    """Squared distance of each pair of rows."""
    pairs = zip(first.tolist(), second.tolist(), strict=True)
    return [sum((a - b) ** 2 for a, b in zip(f, g, strict=True)) for f, g in pairs]


@pytest.mark.parametrize("count", [64, 65])
@pytest.mark.parametrize("weight", [0.0, 0.5, 3.0])
def test_noisy_pairs_against_a_loop(weight: float, count: int, unsure: Unsure) -> None:
    """Image by image, the first half with the second; of an odd number the last has none."""
    unsure = first(unsure, count)
    f = unsure.model(noisy(unsure.batch.x, 0.2))
    squares = between(f[:32], f[32:64])
    pairing = weight * sum(squares) / (32 * 4)
    assert (pairing > 0.1) == (weight > 0)
    found = loss_of(clp(weight=weight, sigma=0.2), unsure)
    assert found == pytest.approx(cross_entropy(f, unsure.batch.y) + pairing, rel=1e-5)


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.5])
def test_attacked_pairs_against_a_loop(weight: float, unsure: Unsure) -> None:
    """Advbench's: an L2 norm that is not squared, and the cross-entropy of natural images."""
    torch.manual_seed(0)
    x_adv = LINF.random_start(unsure.batch.x)
    f, g = unsure.model(unsure.batch.x), unsure.model(x_adv)
    pairing = weight * sum(map(math.sqrt, between(f, g))) / 256
    assert (pairing > 0.1) == (weight > 0)
    found = loss_of(clp(pair="pgd", weight=weight), unsure, x_adv)
    assert found == pytest.approx(cross_entropy(f, unsure.batch.y) + pairing, rel=1e-5)


@pytest.mark.parametrize("weight", [0.0, 0.5, 3.0])
def test_squeezing_against_a_loop(weight: float, unsure: Unsure) -> None:
    f = unsure.model(noisy(unsure.batch.x, 0.2))
    norm = sum(math.sqrt(sum(v * v for v in row)) for row in f.tolist()) / 256
    found = loss_of(lsq(weight=weight, sigma=0.2), unsure)
    expected = cross_entropy(f, unsure.batch.y) + weight * norm
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("pair", "weight"), [("noise", 0.5), ("pgd", 1.0)])
def test_each_pairing_has_a_weight_of_its_own(pair: str, weight: float, unsure: Unsure) -> None:
    torch.manual_seed(0)
    x_adv = LINF.random_start(unsure.batch.x)
    default, named = (loss_of(clp(pair=pair, weight=w), unsure, x_adv) for w in (None, weight))
    assert default == named
    assert default > loss_of(clp(pair=pair, weight=0), unsure, x_adv) + 0.01


@pytest.mark.parametrize("make", [clp, lsq])
def test_without_weight_it_is_natural_training_on_noise(make: type, unsure: Unsure) -> None:
    natural = method("natural").loss(
        unsure.model,
        replace(unsure.batch, x=noisy(unsure.batch.x, 0.3)),
        unsure.batch.x,
        started(),
    )
    assert loss_of(make(weight=0, sigma=0.3), unsure) == natural.item()


def trained(chosen: Method, batch: Batch, run: Run) -> Tensor:
    """All weights and statistics after three steps."""
    torch.manual_seed(1)
    model = tiny.classifier().train()
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    torch.manual_seed(8)
    for _ in range(3):
        chosen.step(model, batch, run, optimizer)
    return torch.cat([value.flatten() for value in model.state_dict().values()])


@pytest.mark.parametrize("make", [clp, lsq])
def test_without_weight_and_noise_it_trains_as_natural_training_does(
    make: type, batch: Batch, run: Run
) -> None:
    natural = trained(method("natural"), batch, run)
    assert torch.equal(trained(make(weight=0, sigma=0), batch, run), natural)
    assert not torch.equal(trained(make(sigma=0), batch, run), natural)
    assert not torch.equal(trained(make(weight=0, sigma=0.1), batch, run), natural)


@pytest.mark.parametrize(("weight", "eps"), [(0.0, 0.1), (1.0, 0.0)])
def test_a_pair_that_does_not_count_or_is_one_image_leaves_natural_training(
    weight: float, eps: float, batch: Batch
) -> None:
    """Gradients only: the statistics of batch normalisation see both images."""
    run = started(Threat("Linf", eps))
    natural = gradients(method("natural"), batch, run)
    paired = gradients(clp(pair="pgd", weight=weight), batch, run)
    assert all(torch.equal(one, other) for one, other in zip(paired, natural, strict=True))
    other = gradients(clp(pair="pgd"), batch, started())
    assert not torch.equal(other[1], natural[1])


def test_an_image_without_another_has_no_pair(unsure: Unsure) -> None:
    alone = first(unsure, 1)
    assert loss_of(clp(weight=1e6), alone) == loss_of(clp(weight=0), alone)


def test_only_pairs_of_pgd_are_attacked(unsure: Unsure) -> None:
    model, batch, run = unsure.model, unsure.batch, started()
    assert clp().perturb(model, batch, run) is batch.x
    assert lsq().perturb(model, batch, run) is batch.x
    expected = PGD(start="none")(model, batch.x, batch.y, LINF)
    assert torch.equal(clp(pair="pgd").perturb(model, batch, run), expected)
    assert [clp(pair=pair).select_on for pair in ("noise", "pgd")] == ["natural", "robust"]


PLAIN = clp(sigma=0)


@given(shift=st.floats(-1, 1), weight=st.floats(0, 5), pairs=st.integers(1, 4))
def test_unlike_images_are_drawn_together(shift: float, weight: float, pairs: int) -> None:
    """The images of a network that passes them on are its logits; half of them lie apart."""
    chosen = replace(PLAIN, weight=weight)  # type: ignore[call-arg]
    x, y = torch.zeros(2 * pairs, 1, 2, 2), torch.arange(2 * pairs) % 4
    x[pairs:, 0, 1, 0] = abs(shift)
    batch, model = Batch(x, y, y), nn.Flatten()
    found = chosen.loss(model, batch, x, started()).item()
    natural = F.cross_entropy(x.flatten(1), y).item()
    assert found == pytest.approx(natural + weight * shift**2 / 4, rel=1e-5)


def test_logits_of_zero_can_be_squeezed() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 4))
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    batch = Batch(torch.rand(8, 1, 2, 2), torch.arange(8) % 4, torch.arange(8))
    loss = lsq().loss(model, batch, batch.x, started())
    loss.backward()
    assert loss.item() == pytest.approx(math.log(4))
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_squeezing_squeezes_and_pairing_pairs(batch: Batch, run: Run) -> None:
    order = torch.cat([torch.arange(32), torch.arange(32, 64).roll(1)])  # pairs of unlike classes
    batch, far = Batch(batch.x[order], batch.y[order], batch.index[order]), {}
    for name, chosen in (("natural", method("natural")), ("lsq", lsq()), ("clp", clp(sigma=0))):
        torch.manual_seed(1)
        model = nn.Sequential(nn.Flatten(), nn.Linear(192, 32), nn.ReLU(), nn.Linear(32, 4))
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for _ in range(30):
            chosen.step(model, batch, run, optimizer)
        f = model(batch.x)
        far[name] = f.norm(dim=1).mean().item(), (f[:32] - f[32:]).norm().item()
    assert far["lsq"][0] < 0.7 * far["natural"][0]
    assert far["clp"][1] < 0.7 * far["natural"][1]


@pytest.mark.parametrize(
    ("chosen", "count"),
    [(clp(), 1), (clp(pair="pgd"), 12), (clp(pair="pgd", **{"attack.steps": 0}), 2), (lsq(), 1)],
)
def test_passes_of_a_step(chosen: Method, count: int, batch: Batch, run: Run) -> None:
    model = tiny.classifier()
    assert spent(chosen, model, batch, run) == chosen.passes("train") == Passes(count, count)


@pytest.mark.parametrize("name", ["clp", "lsq"])
def test_they_say_what_breaks_them(name: str) -> None:
    assert "margin" in method(name).control
    assert "AutoAttack" in method(name).control


def test_presets() -> None:
    mnist, cifar = method("clp", "mnist"), method("clp", "cifar10")
    assert (mnist.sigma, mnist.pair, mnist.weight) == (0.5, "noise", None)  # type: ignore[attr-defined]
    assert mnist.attack == PGD(steps=7, step_size=0.1, start="none")  # type: ignore[attr-defined]
    assert cifar.attack == PGD(steps=10, step_size=0.007, start="none")  # type: ignore[attr-defined]
    assert (lsq().weight, lsq().sigma) == (0.5, 0)  # type: ignore[attr-defined]
