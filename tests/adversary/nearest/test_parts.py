"""Moves, proximal maps and bookkeeping against other ways to compute them."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from torch import Tensor

from robench.adversary.nearest.across import across
from robench.adversary.nearest.adam import Adam
from robench.adversary.nearest.nearest import Closest, Nearness, anneal, distance, dual
from robench.adversary.nearest.proximal import proximal

SEEDS = st.integers(0, 999)
NORMS: tuple[Nearness, ...] = ("Linf", "L2", "L1")


def drawn(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """An image, a gradient, and about a third of what the box allows it to gain."""
    torch.manual_seed(seed)
    x, normal = torch.rand(1, 2, 2, 3, dtype=torch.float64), torch.randn(1, 2, 2, 3).double()
    room = torch.where(normal > 0, 1 - x, x)
    return x, normal, torch.rand(1).double() * (normal.abs() * room).sum() / 1.5


@given(SEEDS)
def test_the_move_in_l1_is_the_least_that_a_linear_program_finds(seed: int) -> None:
    x, normal, need = drawn(seed)
    move = across(x, normal, need, "L1")
    slope, at = normal.flatten().numpy(), x.flatten().numpy()
    least = linprog(
        np.ones(24), A_ub=-np.concatenate([slope, -slope])[None], b_ub=[-need.item()],
        bounds=[(0, 1 - p) for p in at] + [(0, p) for p in at],
    )  # fmt: skip
    assert move.abs().sum().item() == pytest.approx(least.fun, rel=1e-6)
    assert (normal * move).sum().item() == pytest.approx(need.item(), rel=1e-6)
    assert ((x + move >= -1e-12) & (x + move <= 1 + 1e-12)).all()


@given(SEEDS)
def test_no_fewer_pixels_would_do(seed: int) -> None:
    x, normal, need = drawn(seed)
    move = across(x, normal, need, "L0")
    gains = (normal.abs() * torch.where(normal > 0, 1 - x, x)).sum(1).flatten().tolist()
    fewest = min(
        count
        for count in range(7)
        if any(sum(some) >= need.item() for some in itertools.combinations(gains, count))
    )
    assert distance(x + move, x, "L0").item() == fewest
    assert (normal * move).sum() >= need - 1e-9


@given(SEEDS, st.sampled_from(("Linf", "L2")))
def test_a_move_in_a_norm_is_as_long_as_the_dual_norm_says(seed: int, norm: Nearness) -> None:
    x, normal, need = drawn(seed)
    move = across(x, normal, need, norm)
    assert (normal * move).sum().item() == pytest.approx(need.item(), rel=1e-6)
    assert distance(x + move, x, norm) == pytest.approx((need / dual(normal, norm)).item())


def test_without_a_gradient_nothing_moves() -> None:
    x, zero = torch.rand(2, 1, 3, 3), torch.zeros(2, 1, 3, 3)
    for norm in (*NORMS, "L0"):
        assert (across(x, zero, torch.ones(2), norm) == 0).all()


@given(SEEDS, st.sampled_from(NORMS), st.floats(0.01, 3))
@hypothesis_settings(max_examples=60)
def test_nothing_near_a_proximal_point_is_better(seed: int, norm: Nearness, weight: float) -> None:
    torch.manual_seed(seed)
    delta = torch.randn(1, 2, 2, 3, dtype=torch.float64)
    zero, weights = torch.zeros_like(delta), torch.tensor([weight]).double()

    def cost(z: Tensor) -> Tensor:
        apart = (z - delta).square().flatten(1).sum(1) / 2
        return apart + weight * distance(z, zero.expand_as(z), norm)

    best = proximal(delta, weights, norm)
    others = best + torch.cat([s * torch.randn(50, 2, 2, 3).double() for s in (1e-3, 0.1, 1.0)])
    assert (cost(others) >= cost(best) - 1e-9).all()
    assert cost(best) <= cost(delta) + 1e-12
    assert cost(best) <= cost(zero) + 1e-12


@given(st.floats(0, 3), st.floats(0.001, 2))
def test_the_proximal_map_in_l0_is_the_least_on_a_grid(size: float, weight: float) -> None:
    direction = torch.tensor([0.6, 0.8], dtype=torch.float64)
    delta = (size * direction).view(1, 2, 1, 1)
    found = proximal(delta, torch.tensor([weight]).double(), "L0").flatten()
    grid = torch.linspace(0, 3, 30_001, dtype=torch.float64)

    def cost(z: Tensor) -> Tensor:
        return (z - size) ** 2 / 2 + weight * z ** (2 / 3)

    assert cost(found.norm()) <= cost(grid).amin() + 1e-6
    assert torch.allclose(found, found.norm() * direction)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=20))
def test_the_closest_wrong_image_never_gets_farther(looks: list[tuple[float, bool]]) -> None:
    x = torch.zeros(2, 1, 1, 2)
    closest, best = Closest(x, "Linf"), float("inf")
    for far, is_wrong in looks:
        x_adv = torch.full((1, 1, 1, 2), far)
        closest.look(x_adv, torch.tensor([is_wrong]), torch.tensor([1]))
        best = min(best, x_adv[0, 0, 0, 0].item()) if is_wrong else best
        assert closest.distance.tolist() == [float("inf"), best]
        assert closest.x_adv[1].amax() == (best if best < float("inf") else 0)
    assert torch.equal(closest.x_adv[0], x[0])


def test_a_pixel_counts_once_however_many_channels_change() -> None:
    x = torch.zeros(2, 3, 4, 4)
    x_adv = x.clone()
    x_adv[0, :, 1, 1] = 1
    x_adv[0, 2, 3, 0] = 1e-6
    assert distance(x_adv, x, "L0").tolist() == [2, 0]


def test_adam_steps_as_a_slow_loop_does_and_goes_on_with_some_rows() -> None:
    torch.manual_seed(0)
    grads, adam = torch.randn(8, 4, 3), Adam(torch.ones(4, 3))
    mean = square = torch.zeros(4, 3, dtype=torch.float64)
    for step, grad in enumerate(grads.double(), start=1):
        mean, square = 0.9 * mean + 0.1 * grad, 0.999 * square + 0.001 * grad**2
        rows = slice(None) if step < 5 else slice(1, 4, 2)
        if step == 5:
            adam.keep(torch.tensor([1, 3]))
        along, scale = adam(grads[step - 1][rows])
        wanted = (mean / (1 - 0.9**step)) / ((square / (1 - 0.999**step)).sqrt() + 1e-8)
        assert torch.allclose((along / scale).double(), wanted[rows], rtol=1e-4)


def test_sizes_fall_along_half_a_cosine() -> None:
    assert anneal(2.0, 1.0, 0.0) == 2
    assert anneal(2.0, 1.0, 0.5) == pytest.approx(1.5)
    assert anneal(2.0, 1.0, 1.0) == pytest.approx(1)
