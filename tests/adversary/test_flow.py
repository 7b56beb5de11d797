"""Smooth deformations: what they do to an image, and that none goes further than it may."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from robench.adversary.attack import attempt, right
from robench.adversary.flow import Flow, deformed
from robench.adversary.gradient import gradient
from robench.adversary.losses import margin
from robench.threat import Threat
from tests.conftest import Unsure

FLOW = Threat("flow", 0.1)


def slope(side: int) -> Tensor:
    """An image whose pixels say where they are: how far to the right, how far down."""
    place = (torch.arange(side) + 0.5) / side
    return torch.stack([place.expand(side, side), place[:, None].expand(side, side)])[None]


def inner(x: Tensor) -> Tensor:
    """Without the border, which has nothing to fetch from outside."""
    return x[..., 2:-2, 2:-2]


@pytest.mark.parametrize("side", [8, 28])
def test_no_movement_is_no_change(side: int) -> None:
    x = torch.rand(3, 2, side, side)
    assert torch.allclose(deformed(x, torch.zeros(3, 2, 4, 4)), x, atol=1e-5)


def test_pixels_are_fetched_from_where_the_field_points_in_shares_of_the_side() -> None:
    moves = torch.zeros(1, 2, 4, 4)
    moves[:, 0], moves[:, 1] = 0.05, -0.03
    shift = inner(deformed(slope(28), moves) - slope(28))
    assert torch.allclose(shift[:, 0], torch.tensor(0.05), atol=1e-5)
    assert torch.allclose(shift[:, 1], torch.tensor(-0.03), atol=1e-5)


@given(st.integers(0, 10_000), st.sampled_from([2, 4, 7]), st.sampled_from([8, 20]))
def test_no_pixel_moves_by_more_than_the_lattice(seed: int, lattice: int, side: int) -> None:
    torch.manual_seed(seed)
    moves = 0.1 * (2 * torch.rand(2, 2, lattice, lattice) - 1)
    shift = deformed(slope(side).expand(2, 2, side, side), moves) - slope(side)
    assert shift.abs().max() <= moves.abs().max() + 1e-5
    x = torch.rand(2, 2, side, side)
    x_adv = deformed(x, moves)
    assert x_adv.min() >= x.min()
    assert x_adv.max() <= x.max()


class Spy(nn.Module):
    """Two logits that compare where pixels are with where they were; it remembers how far."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.still, self.seen = slope(side), list[Tensor]()

    def forward(self, x: Tensor) -> Tensor:
        shift = x - self.still
        self.seen.append(shift.detach().abs().flatten(1).amax(1))
        return torch.stack([0.05 - inner(shift)[:, 0].mean((1, 2)), torch.zeros(len(x))], 1)


def test_each_image_stays_within_its_own_radius_and_falls_if_that_is_enough() -> None:
    """It is wrong once pixels come from 0.05 to the right on average."""
    eps = torch.tensor([0.02, 0.04, 0.06, 0.1])
    model, x = Spy(16), slope(16).repeat(4, 1, 1, 1)
    torch.manual_seed(0)
    x_adv = Flow(restarts=1)(model, x, torch.zeros(4, dtype=torch.long), Threat("flow", eps))
    assert all((seen <= eps + 1e-5).all() for seen in model.seen if len(seen) == 4)
    assert right(model, x_adv, torch.zeros(4, dtype=torch.long)).tolist() == [
        True,
        True,
        False,
        False,
    ]
    assert torch.equal(x_adv[:2], x[:2])


def test_more_steps_and_restarts_break_no_fewer(unsure: Unsure) -> None:
    model, batch = unsure.model, unsure.batch
    stand = []
    for attack in (
        Flow(steps=1, restarts=1),
        Flow(steps=30, restarts=1),
        Flow(steps=30, restarts=3),
    ):
        x_adv = attempt("flow", attack, model, batch.x, batch.y, FLOW, 0)
        stand.append(int(right(model, x_adv, batch.y).sum()))
    assert stand[0] > stand[1] >= stand[2]


class Noisy(nn.Module):
    """Draws at every call."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x + 0.3 * torch.randn_like(x))


def test_draws_are_averaged(unsure: Unsure) -> None:
    calls = []
    model = Noisy(unsure.model).eval()
    model.register_forward_hook(lambda *_: calls.append(1))
    Flow(steps=2, restarts=1, draws=5)(model, unsure.batch.x[:4], unsure.batch.y[:4], FLOW)
    assert len(calls) == 5 * 3


def test_its_gradient_is_the_chain_rule_s(unsure: Unsure) -> None:
    """Through the sampler, against a difference quotient in float64."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(128, 3)).double().requires_grad_(False)
    torch.manual_seed(0)
    x, y = torch.rand(2, 2, 8, 8).double(), torch.tensor([0, 1])
    moves = (0.05 * torch.randn(2, 2, 3, 3)).double().requires_grad_()
    torch.autograd.gradcheck(lambda m: margin(model(deformed(x, m)), y), moves, atol=1e-4)
    assert gradient(model, x, margin, y)[2].abs().sum() > 0
