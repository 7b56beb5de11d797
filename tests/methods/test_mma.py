"""MMA: where images are moved, what is remembered and counts, what it reduces to, and its cost."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robench.adversary.pgd import PGD
from robench.check import tiny
from robench.check.finding import equal, snapshot
from robench.data.batches import Batch
from robench.models.passes import Passes, counted
from robench.radius import BALLS, NORMS, Norm
from robench.threat import Threat, per_image
from robench.training.method import Method, Run, method
from tests.conftest import Unsure, confidence
from tests.methods.costs import spent

EPS = 0.04
LINF = Threat("Linf", EPS)
RADII: dict[Norm, float] = {"Linf": EPS, "L2": 0.4, "L1": 2.0}
STILL: dict[str, object] = {"attack.start": "none"}
FIXED: dict[str, object] = {"natural_share": 0, "least": 1, "bisections": 0}


def make(**changes: object) -> Method:
    return method("mma", changes=changes)


def started(threat: Threat = LINF, radius: float | Tensor = 0.0) -> Run:
    run = Run(threat, 256, 4, 3, progress=0.5)
    run.state = make().init(nn.Identity(), run)
    run.state["radius"][:] = radius
    return run


def soft_margin(logits: Tensor, y: Tensor) -> Tensor:
    wrong = F.one_hot(y, logits.shape[1]) == 0
    others = logits[wrong].view(len(y), -1)
    return others.logsumexp(1) - logits[~wrong]


def bisected(model: nn.Module, x: Tensor, y: int, way: Tensor, radius: float, most: float) -> float:
    """One image's radius after ten halvings."""
    low, high = 0.0, most
    for _ in range(10):
        p = model((x + radius * way).clamp(0, 1)).softmax(1)[0, y]
        low, high = (radius, high) if p > 0.5 else (low, radius)
        radius = (low + high) / 2
    return radius


@pytest.mark.parametrize("norm", BALLS)
def test_radii_against_a_loop(norm: Norm, unsure: Unsure) -> None:
    """In double precision, where no gradient changes its sign by rounding."""
    model, batch = copy.deepcopy(unsure.model).double(), unsure.batch
    x, y, eps = batch.x[:96].double(), batch.y[:96], RADII[norm]
    run = started(Threat(norm, eps))
    run.state["radius"][:96] = torch.linspace(0, 2 * eps, 96)
    known = run.state["radius"][:96].clamp(0.2 * eps, 1.05 * 2 * eps)
    torch.manual_seed(3)
    found = make(d_max=2, least=0.2).perturb(model, Batch(x, y, torch.arange(96)), run)
    torch.manual_seed(3)
    right = confidence(model, x, y) > 0.5
    ball = Threat(norm, known[right])
    x_adv = PGD(steps=10)(model, x[right], y[right], ball, loss=soft_margin)
    ways = (x_adv - x[right]) / per_image(known[right], x)
    expected = torch.zeros(96)
    for i, way in zip(right.nonzero().squeeze(1).tolist(), ways, strict=True):
        label, radius = int(y[i]), known[i].item()
        expected[i] = bisected(model, x[i : i + 1], label, way, radius, 1.05 * 2 * eps)
    assert torch.allclose(run.state["radius"][:96], expected, atol=1e-6)
    moved = x[right] + per_image(expected[right], x) * ways
    assert torch.allclose(found[right], moved.clamp(0, 1), atol=1e-6)
    assert torch.equal(found[~right], x[~right])
    assert 10 < (~right).sum() < 80
    inner = (expected > 0) & (expected < 2 * eps)
    assert inner.sum() > 20
    assert (confidence(model, found, y)[inner] - 0.5).abs().max() < 0.02


@pytest.mark.parametrize("norm", NORMS)
def test_of_a_linear_model_the_radius_is_the_margin(norm: Norm) -> None:
    slope = torch.tensor([3.0, -1.0, 2.0, -2.0])
    linear = nn.Linear(4, 2).requires_grad_(False)
    linear.weight.copy_(torch.stack([slope, -slope]))
    linear.bias.copy_(torch.tensor([-1.0, 1.0]))  # zero at the grey image
    model = nn.Sequential(nn.Flatten(), linear)
    x = torch.rand(64, 1, 2, 2, generator=torch.Generator().manual_seed(0)) * 0.3 + 0.35
    height = (x.flatten(1) @ slope - 1).double()
    y = (height < 0).long()
    margin = height.abs() / slope.norm(p=1 if norm == "Linf" else 2)
    run = started(Threat(norm, 0.04))
    x_adv = make(**STILL).perturb(model, Batch(x, y, torch.arange(64)), run)
    radius, near = run.state["radius"][:64], margin < 0.06
    assert 5 < near.sum() < 64
    assert (radius[near] - margin[near]).abs().max() < 1e-4
    assert (radius[~near] > 0.06 - 1e-4).all()
    assert (model(x_adv)[near].diff() / slope.norm(p=1)).abs().max() < 1e-3


class Fenced(nn.Module):
    """Right while the first pixel moves, from 0.5, less than the second one is over it.

    The loss rises with the first pixel alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self.moved: list[float] = []
        """By how much the first image was moved, forward pass by forward pass."""

    def forward(self, x: Tensor) -> Tensor:
        pixels = x.flatten(1)
        self.moved.append(pixels[0, 0].item() - 0.5)
        verdict = 2 * (pixels[:, 0] > pixels[:, 1]).float() - 1
        return torch.stack([torch.zeros_like(verdict), verdict + 1e-3 * pixels[:, 0]], 1)


def fenced(*fences: float) -> Batch:
    """Images whose margins end there."""
    x = torch.tensor([(0.5, 0.5 + fence) for fence in fences]).view(-1, 1, 1, 2)
    return Batch(x, torch.zeros(len(x), dtype=torch.long), torch.arange(len(x)))


MOST = 1.05 * 1.5 * EPS
FINEST = MOST / 2**10 + 1e-6
"""What ten halvings leave of the farthest radius."""


def test_the_next_attack_has_the_radius_that_was_found() -> None:
    run, chosen = started(), make(least=0.25, **STILL)
    for known in (0.25 * EPS, 0.03):
        model = Fenced()
        chosen.perturb(model, fenced(0.03), run)
        assert run.state["radius"][0].item() == pytest.approx(0.03, abs=FINEST)
        # The image, ten iterates, and the halvings, whose first is where the attack ended.
        assert len(model.moved) == 1 + 10 + 10
        assert model.moved[:3] == pytest.approx([0, 0, known / 4], abs=FINEST)
        assert model.moved[10:12] == pytest.approx([known, known], abs=FINEST)


@pytest.mark.parametrize("least", [0.1, 1, 9])
def test_the_radius_is_found_from_anywhere(least: float) -> None:
    fences = [0.001, 0.01, 0.025, 0.04, 0.055, 0.0625, 0.07, 0.1]
    batch = fenced(*fences * 32)
    run = started(radius=torch.rand(256, generator=torch.Generator().manual_seed(0)) / 10)
    x_adv = make(least=least, **STILL).perturb(Fenced(), batch, run)
    expected = torch.tensor(fences * 32).clamp(max=MOST)
    assert (run.state["radius"] - expected).abs().max() < FINEST
    moved = (x_adv - batch.x)[:, 0, 0]
    assert (moved[:, 0] - run.state["radius"]).abs().max() < 1e-5
    assert (moved[:, 1] == 0).all()


def test_who_is_wrong_stays_and_is_forgotten() -> None:
    run, model, batch = started(radius=0.03), Fenced(), fenced(-0.1)
    assert torch.equal(make().perturb(model, batch, run), batch.x)
    assert run.state["radius"][0] == 0
    assert len(model.moved) == 1  # nothing is tried


def test_only_the_batchs_radii_are_touched(unsure: Unsure) -> None:
    some = torch.tensor([200, 7, 31, 100])
    run = started(radius=-1.0)
    make().perturb(unsure.model, Batch(unsure.batch.x[some], unsure.batch.y[some], some), run)
    touched = run.state["radius"] >= 0
    assert touched.nonzero().squeeze(1).tolist() == sorted(some.tolist())


@pytest.mark.parametrize("share", [0.0, 1 / 3, 1.0])
def test_loss_against_a_loop(share: float, unsure: Unsure) -> None:
    model, batch, run = unsure.model, unsure.batch, started()
    chosen = make(natural_share=share)
    x_adv = chosen.perturb(model, batch, run)
    radii, total, counts = run.state["radius"].tolist(), 0.0, 0
    for row, other, label, radius in zip(
        model(batch.x).tolist(), model(x_adv).tolist(), batch.y.tolist(), radii, strict=True
    ):
        total += share * (math.log(sum(map(math.exp, row))) - row[label])
        if radius <= 1.5 * EPS:
            total += (1 - share) * (math.log(sum(map(math.exp, other))) - other[label])
            counts += 1
    assert share == 1 or 0 < counts < 256
    found = chosen.loss(model, batch, x_adv, run).item()
    assert found == pytest.approx(total / 256, rel=1e-5)


def test_who_is_far_away_does_not_count() -> None:
    for fence, counts in ((0.059, True), (0.061, False)):
        run, chosen, batch = started(), make(natural_share=0, **STILL), fenced(fence)
        x_adv = chosen.perturb(Fenced(), batch, run)
        assert (chosen.loss(Fenced(), batch, x_adv, run) > 0) == counts


def small(batch: Batch) -> nn.Module:
    """Four logits, with batch normalisation, sure about all images of a batch."""
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(192, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 4)
    )
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        F.cross_entropy(model(batch.x), batch.y).backward()
        optimizer.step()
    return model


def trained(chosen: Method, batch: Batch, run: Run) -> dict[str, Tensor]:
    """Weights and statistics of the small network after a few steps on one batch."""
    model = small(batch)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    torch.manual_seed(8)
    for _ in range(4):
        chosen.step(model.train(), batch, run, optimizer)
        assert (confidence(model.eval(), batch.x, batch.y) > 0.5).all()
    return snapshot(model)


def test_all_natural_it_is_natural_training(batch: Batch) -> None:
    run = started()
    found = trained(make(natural_share=1), batch, run)
    assert equal(found, trained(method("natural"), batch, started()))
    assert (run.state["radius"] == 0).all()
    assert not equal(found, trained(make(), batch, started()))


def test_at_one_radius_with_all_right_it_is_adversarial_training(batch: Batch) -> None:
    """Up to rounding; the soft margin's gradient has the signs of the cross-entropy's."""
    expected = trained(method("madry"), batch, started())
    found = trained(make(d_max=1, **FIXED), batch, started())
    assert all(torch.allclose(found[name], expected[name], atol=1e-5) for name in expected)
    searched = trained(make(natural_share=0), batch, started())
    assert not all(torch.allclose(searched[name], expected[name], atol=1e-3) for name in expected)


@pytest.mark.parametrize("norm", BALLS)
def test_at_eps_zero_loss_and_gradients_are_natural_trainings(norm: Norm, batch: Batch) -> None:
    run, found = started(Threat(norm, 0.0)), []
    for chosen in (make(), method("natural")):
        model = small(batch)
        x_adv = chosen.perturb(model.eval(), batch, run)
        assert torch.equal(x_adv, batch.x)
        loss = chosen.loss(model, batch, x_adv, run)
        found.append([loss, *torch.autograd.grad(loss, list(model.parameters()))])
    assert all(torch.allclose(a, b, atol=1e-7) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("norm", BALLS)
def test_images_stay_in_the_ball_that_it_declares(norm: Norm, unsure: Unsure) -> None:
    threat = Threat(norm, RADII[norm])
    (ball,) = make(d_max=3).balls(threat)
    assert ball == Threat(norm, 1.05 * 3 * float(threat.eps))
    run = started(threat, torch.linspace(0, 4 * float(threat.eps), 256))
    x_adv = make(d_max=3).perturb(unsure.model, unsure.batch, run)
    distance = ball.distance(x_adv, unsure.batch.x)
    assert (distance <= run.state["radius"] + 1e-6).all()
    assert float(threat.eps) < distance.max() <= float(ball.eps) + 1e-6
    assert x_adv.min() >= 0
    assert x_adv.max() <= 1


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        ({}, (23, 12)),
        ({"natural_share": 0}, (22, 11)),
        ({"bisections": 3, "attack.steps": 4}, (10, 6)),
        ({"natural_share": 1}, (1, 1)),
    ],
)
def test_passes_of_a_step(
    changes: dict[str, object], passes: tuple[int, int], batch: Batch
) -> None:
    model, chosen = small(batch), make(**changes)
    assert spent(chosen, model, batch, started()) == chosen.passes("train") == Passes(*passes)


def test_who_is_wrong_costs_less(batch: Batch) -> None:
    model = tiny.classifier()
    y = model.eval()(batch.x).argmin(1)
    with counted(model) as spent:
        optimizer = torch.optim.SGD(model.parameters(), 0.01)
        make().step(model, Batch(batch.x, y, batch.index), started(), optimizer)
    assert (spent.forwards / 64, spent.backwards / 64) == (3, 2)


def test_presets_are_the_authors() -> None:
    cifar10, mnist = method("mma", "cifar10"), method("mma", "mnist")
    assert cifar10.d_max * 8 / 255 == pytest.approx(32 / 255)  # type: ignore[attr-defined]
    assert cifar10.least * 8 / 255 == pytest.approx(0.005)  # type: ignore[attr-defined]
    assert mnist.d_max * 0.3 == pytest.approx(0.45)  # type: ignore[attr-defined]
    assert mnist.least * 0.3 == pytest.approx(0.1)  # type: ignore[attr-defined]
    assert (cifar10.attack, mnist.attack) == (PGD(), PGD(steps=40))  # type: ignore[attr-defined]
