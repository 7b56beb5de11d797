"""What all families share: nothing at 0, images in [0, 1], gradients, and one ascent."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from robench.adversary.attack import attempt, right
from robench.adversary.changes.change import Change, Changed
from robench.adversary.changes.elastic import Elastic
from robench.adversary.changes.gabor import Gabor
from robench.adversary.changes.jpeg import Jpeg
from robench.adversary.changes.recolour import Recolour
from robench.adversary.changes.spatial import Turned
from robench.adversary.changes.weather import Fog, Snow
from robench.threat import Threat
from tests.conftest import Unsure

FAMILIES: dict[str, Change] = {
    "turned": Turned(), "elastic": Elastic(), "pixels": Elastic(smooth=0), "jpeg": Jpeg(),
    "fog": Fog(), "snow": Snow(), "gabor": Gabor(), "recolour": Recolour(),
}  # fmt: skip
SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32)]
EPS = {"turned": 1.0, "elastic": 0.05, "pixels": 0.05, "jpeg": 0.1, "recolour": 0.1}
"""Others: 0.4."""

families = pytest.mark.parametrize("name", FAMILIES)


def drawn(change: Change, shape: tuple[int, int, int], count: int, seed: int) -> tuple[Tensor, ...]:
    """Images, and parameters anywhere in their range, some of them at its ends."""
    torch.manual_seed(seed)
    x = torch.rand(count, *shape)
    at = (3 * torch.rand(count, *change.shape(x)) - 1.5).clamp(-1, 1)
    return x, at


def strength(eps: float, count: int) -> Tensor:
    return torch.full((count, 1, 1, 1), eps)


@families
@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_happens_at_0(name: str, shape: tuple[int, int, int]) -> None:
    change = FAMILIES[name]
    x, at = drawn(change, shape, 2, 0)
    for still, eps in ((torch.zeros_like(at), 0.4), (at, 0.0)):
        assert torch.allclose(change(x, still, strength(eps, 2)), x, atol=1e-5)


@families
@pytest.mark.parametrize("shape", SHAPES)
def test_images_stay_images_and_change(name: str, shape: tuple[int, int, int]) -> None:
    change, eps = FAMILIES[name], EPS.get(name, 0.4)
    x, at = drawn(change, shape, 4, 1)
    x_adv = change(x, at, strength(eps, 4))
    assert x_adv.shape == x.shape
    assert x_adv.min() >= 0
    assert x_adv.max() <= 1
    assert (x_adv - x).abs().flatten(1).amax(1).min() > 0.01


@families
@settings(max_examples=15)
@given(seed=st.integers(0, 1000), eps=st.floats(0, 2))
def test_images_stay_images_at_any_strength(name: str, seed: int, eps: float) -> None:
    change = FAMILIES[name]
    x, at = drawn(change, (1, 8, 8), 2, seed)
    x_adv = change(x, at, strength(eps, 2))
    assert x_adv.min() >= 0
    assert x_adv.max() <= 1


@families
def test_an_image_has_the_change_of_its_own_parameters_and_strength(name: str) -> None:
    change = FAMILIES[name]
    x, at = drawn(change, (3, 8, 8), 3, 2)
    eps = torch.tensor([0.0, 0.02, 0.3]).view(3, 1, 1, 1)
    whole = change(x, at, eps)
    for k in range(3):
        one = change(x[k : k + 1], at[k : k + 1], eps[k : k + 1])
        assert torch.allclose(whole[k : k + 1], one, atol=1e-6)


@families
def test_gradients_are_difference_quotients(name: str) -> None:
    change = FAMILIES[name]
    torch.manual_seed(3)
    x = 0.3 + 0.4 * torch.rand(1, 1, 8, 8).double()  # nothing is cut
    at = (0.1 + 0.1 * torch.rand(1, *change.shape(x))).double()
    weights, eps = torch.randn_like(x), strength(0.1, 1).double()

    def value(at: Tensor) -> Tensor:
        return (weights * change(x, at, eps)).sum()

    leaf = at.requires_grad_()
    (grad,) = torch.autograd.grad(value(leaf), leaf)
    way = torch.randn_like(at)
    with torch.no_grad():
        quotient = (value(at + 1e-6 * way) - value(at - 1e-6 * way)) / 2e-6
    assert (grad * way).sum().item() == pytest.approx(quotient.item(), rel=1e-3, abs=1e-6)
    assert grad.abs().sum() > 0


@families
def test_the_ascent_breaks_images_and_leaves_the_others(name: str, unsure: Unsure) -> None:
    model, (x, y) = unsure.model, right_ones(unsure)
    attack, eps = Changed(change=FAMILIES[name], steps=10), EPS.get(name, 0.4)
    threat = Threat("change", eps / 4)
    x_adv = attempt("changed", attack, model, x, y, threat, 0)
    stands = right(model, x_adv, y)
    assert 0 < stands.sum() < len(stands)
    assert torch.equal(x_adv[stands], x[stands])
    assert torch.equal(x_adv, attempt("changed", attack, model, x, y, threat, 0))


def right_ones(unsure: Unsure, count: int = 32) -> tuple[Tensor, Tensor]:
    x, y = unsure.batch.x, unsure.batch.y
    index = right(unsure.model, x, y).nonzero().squeeze(1)[:count]
    return x[index], y[index]


def test_what_fell_stays_fallen_after_more_restarts_and_losses(unsure: Unsure) -> None:
    """Later runs are only for what stands, and the first one draws the same."""
    x, y = right_ones(unsure)
    threat, before = Threat("change", 0.05), torch.ones(len(x), dtype=torch.bool)
    for losses, restarts in ((("margin",), 1), (("margin", "dlr"), 1), (("margin", "dlr"), 4)):
        attack = Changed(change=Gabor(), losses=losses, steps=4, restarts=restarts)  # type: ignore[arg-type]
        stands = right(unsure.model, attempt("changed", attack, unsure.model, x, y, threat, 0), y)
        assert (stands <= before).all()
        before = stands
    assert 0 < before.sum() < len(before)


class Told(nn.Module):
    """Wrong once an image is darker on average than it is told; it keeps how many it was asked."""

    def __init__(self, least: float) -> None:
        super().__init__()
        self.least, self.asked = least, list[int]()

    def forward(self, x: Tensor) -> Tensor:
        self.asked.append(len(x))
        mean = x.mean((1, 2, 3)) - self.least
        return torch.stack([mean, -mean], 1)


def test_only_what_stands_is_asked_again() -> None:
    x = torch.cat([torch.full((2, 1, 8, 8), 0.5), torch.full((3, 1, 8, 8), 0.9)])
    model = Told(0.45)
    attack = Changed(change=Recolour(), steps=5, losses=("margin",))
    torch.manual_seed(0)
    x_adv = attack(model, x, torch.zeros(5, dtype=torch.long), Threat("change", 0.1))
    assert model.asked[0] == 5
    assert model.asked[-1] == 3
    assert len(model.asked) == 6
    assert (x_adv[:2].mean((1, 2, 3)) < 0.45).all()
    assert torch.equal(x_adv[2:], x[2:])


def test_each_image_has_a_radius_of_its_own() -> None:
    x, eps = torch.full((4, 1, 8, 8), 0.5), torch.tensor([0.01, 0.04, 0.06, 0.1])
    attack = Changed(change=Recolour(), steps=5)
    torch.manual_seed(0)
    x_adv = attack(Told(0.45), x, torch.zeros(4, dtype=torch.long), Threat("change", eps))
    assert ((x_adv - x).abs().amax((1, 2, 3)) <= eps + 1e-6).all()
    assert (x_adv != x).flatten(1).any(1).tolist() == [False, False, True, True]


def test_draws_are_averaged() -> None:
    model = Told(0.0)
    attack = Changed(change=Fog(), steps=3, losses=("margin",), draws=5)
    attack(model, torch.rand(2, 1, 8, 8), torch.zeros(2, dtype=torch.long), Threat("change", 0.4))
    assert len(model.asked) == 5 * 4


class Nowhere(nn.Module):
    """Its gradient is no number."""

    def forward(self, x: Tensor) -> Tensor:
        bad = (x - x.detach()).sum((1, 2, 3)).sqrt()
        return torch.stack([1 + bad, -bad], 1)


def test_a_gradient_that_is_no_number_moves_nothing() -> None:
    x = torch.rand(2, 1, 8, 8)
    y = torch.zeros(2, dtype=torch.long)
    x_adv = Changed(change=Snow(), steps=3)(Nowhere(), x, y, Threat("change", 0.4))
    assert x_adv.isfinite().all()
