"""Attacks in several threat models: the worst candidate, and multi steepest descent."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import Tensor, nn

from robench.adversary.losses import cross_entropy
from robench.adversary.pgd import PGD
from robench.adversary.union import ascend_in_all, worst
from robench.models.passes import counted
from robench.radius import BALLS, Norm
from robench.threat import Threat
from tests.conftest import Unsure

RADII: dict[Norm, float] = {"Linf": 0.03, "L2": 0.3, "L1": 2.0}
ALL = [Threat(norm, eps) for norm, eps in RADII.items()]


def sizes(threats: list[Threat], steps: int) -> list[float]:
    return [2.5 * float(threat.eps) / steps for threat in threats]


def ascent(
    model: nn.Module, x: Tensor, y: Tensor, threats: list[Threat], steps: int
) -> tuple[Tensor, Tensor]:
    return ascend_in_all(model, x, x, y, threats, steps=steps, sizes=sizes(threats, steps))


class Spied(nn.Module):
    """Remembers what it was asked."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.asked = model, list[Tensor]()

    def forward(self, x: Tensor) -> Tensor:
        self.asked.append(x.detach().clone())
        logits: Tensor = self.model(x)
        return logits


def test_the_worst_is_picked_image_by_image(unsure: Unsure) -> None:
    model, x, y = unsure.model, unsure.batch.x[:64], unsure.batch.y[:64]
    torch.manual_seed(0)
    candidates = [threat.random_start(x) for threat in ALL]
    found, losses, which = worst(model, candidates, y)
    assert len(which.unique()) == 3
    for image in range(64):
        each = [F.cross_entropy(model(c[image, None]), y[image, None]).item() for c in candidates]
        assert losses[image].item() == pytest.approx(max(each), abs=1e-5)
        assert each[which[image]] == pytest.approx(max(each), abs=1e-5)
        assert torch.equal(found[image], candidates[which[image]][image])


def stepped(
    model: nn.Module, x: Tensor, y: Tensor, threats: list[Threat], steps: int
) -> tuple[Tensor, list[float]]:
    """One image at a time, with a list of what has been met: the slow way to say it."""
    best, rising = [], list[float]()
    for image, label in zip(x.split(1), y.split(1), strict=True):
        at, met = image, list[tuple[float, Tensor]]()
        for _ in range(steps):
            leaf = at.clone().requires_grad_()
            (slope,) = torch.autograd.grad(F.cross_entropy(model(leaf), label), leaf)
            tried = []
            for threat, size in zip(threats, sizes(threats, steps), strict=True):
                new = threat.project(at + size * threat.direction(slope), image)
                tried.append((F.cross_entropy(model(new), label).item(), new))
            value, at = max(tried, key=lambda pair: pair[0])
            met.append((value, at))
        value, image = max(met, key=lambda pair: pair[0])
        best.append(image)
        rising.append(value)
    return torch.cat(best), rising


def test_multi_steepest_descent_against_a_loop(unsure: Unsure) -> None:
    model, x, y = unsure.model, unsure.batch.x[:8], unsure.batch.y[:8]
    found, whose = ascent(model, x, y, ALL, 4)
    expected, values = stepped(model, x, y, ALL, 4)
    assert torch.allclose(found, expected, atol=1e-5)
    assert torch.allclose(cross_entropy(model(found), y), torch.tensor(values), atol=1e-4)
    for image, number in enumerate(whose.tolist()):
        ball = ALL[number]
        assert ball.distance(found[image, None], x[image, None]) <= ball.eps + 1e-6


@given(st.integers(1, 5), st.permutations(ALL), st.integers(1, 3))
@hypothesis_settings(max_examples=12)
def test_more_steps_never_lower_the_loss(
    unsure: Unsure, steps: int, balls: list[Threat], count: int
) -> None:
    """The highest over time is monotone; each step has one length, whatever their number."""
    model, x, y = unsure.model, unsure.batch.x[:6], unsure.batch.y[:6]
    threats = balls[:count]
    fixed = [float(threat.eps) / 3 for threat in threats]
    values = [
        cross_entropy(model(ascend_in_all(model, x, x, y, threats, steps=k, sizes=fixed)[0]), y)
        for k in (steps, steps + 1)
    ]
    assert (values[1] >= values[0] - 1e-6).all()


@pytest.mark.parametrize("norm", BALLS)
def test_in_one_threat_model_its_steps_are_those_of_pgd(norm: Norm, unsure: Unsure) -> None:
    model, x, y, threat = (
        unsure.model,
        unsure.batch.x[:8],
        unsure.batch.y[:8],
        Threat(norm, RADII[norm]),
    )
    mine, theirs = Spied(model), Spied(model)
    size = PGD(steps=5).size(threat)
    found, _ = ascend_in_all(mine, x, x, y, [threat], steps=5, sizes=[size])
    last = PGD(steps=5, start="none")(theirs, x, y, threat)
    walked = [*theirs.asked, last]
    # Each step asks for a gradient, and looks at what it comes to.
    assert all(torch.equal(a, b) for a, b in zip(mine.asked[0::2], walked[:-1], strict=True))
    assert all(torch.equal(a, b) for a, b in zip(mine.asked[1::2], walked[1:], strict=True))
    losses = torch.stack([cross_entropy(model(step), y) for step in walked[1:]])
    assert torch.equal(cross_entropy(model(found), y), losses.amax(0))


def test_without_steps_it_stays_where_it_starts(unsure: Unsure) -> None:
    x, y = unsure.batch.x[:8], unsure.batch.y[:8]
    found, _ = ascend_in_all(unsure.model, x, x, y, ALL, steps=0, sizes=[1.0] * 3)
    assert torch.equal(found, x)


def test_it_is_at_least_as_high_as_the_first_step_of_each(unsure: Unsure) -> None:
    model, x, y = unsure.model, unsure.batch.x[:32], unsure.batch.y[:32]
    found = cross_entropy(model(ascent(model, x, y, ALL, 1)[0]), y)
    for threat in ALL:
        alone = ascent(model, x, y, [threat], 1)[0]
        assert (found >= cross_entropy(model(alone), y)).all()


def test_passes(unsure: Unsure) -> None:
    with counted(unsure.model) as passes:
        ascent(unsure.model, unsure.batch.x[:10], unsure.batch.y[:10], ALL, 7)
    assert (passes.forwards, passes.backwards) == (10 * 7 * 4, 10 * 7)
