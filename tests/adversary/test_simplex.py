"""Weights on the simplex: the projection against a reference, and where steps lead."""

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import Tensor

from robench.adversary.simplex import check_step, moved, nearest
from robench.errors import ConfigError

numbers = st.floats(-3, 3, width=32)
points = st.lists(numbers, min_size=1, max_size=7)


def bisected(point: list[float]) -> list[float]:
    """The t at which the entries over it come to 1, by halving where it can be."""
    low, high = min(point) - 1, max(point)
    for _ in range(80):
        middle = (low + high) / 2
        if sum(max(0.0, value - middle) for value in point) > 1:
            low = middle
        else:
            high = middle
    return [max(0.0, value - high) for value in point]


@given(points)
def test_projection_against_bisection(point: list[float]) -> None:
    found = nearest(torch.tensor(point, dtype=torch.float64))
    assert found.tolist() == pytest.approx(bisected(point), abs=1e-9)


@given(points)
def test_projection_gives_weights_and_leaves_them_alone(point: list[float]) -> None:
    weights = nearest(torch.tensor(point))
    assert weights.min() >= 0
    assert weights.sum().item() == pytest.approx(1, abs=1e-6)
    assert torch.allclose(nearest(weights), weights, atol=1e-6)


@given(points, st.integers(0, 1000))
def test_no_other_weights_are_nearer(point: list[float], seed: int) -> None:
    target = torch.tensor(point, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    others = torch.rand(20, len(point), generator=generator, dtype=torch.float64).pow(3) + 1e-9
    others = others / others.sum(1, keepdim=True)
    mine = (nearest(target) - target).norm()
    assert (mine <= (others - target).norm(dim=1) + 1e-9).all()


@given(st.lists(points.filter(lambda p: len(p) == 3), min_size=1, max_size=4), numbers)
def test_rows_do_not_mix_and_a_shift_of_all_changes_nothing(
    rows: list[list[float]], shift: float
) -> None:
    together = nearest(torch.tensor(rows))
    for row, found in zip(rows, together, strict=True):
        assert torch.allclose(nearest(torch.tensor(row) + shift), found, atol=1e-6)


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e9, 1e30])
def test_however_large_the_numbers(size: float) -> None:
    weights = nearest(size * torch.tensor([0.3, -1.0, 0.9]))
    assert weights.isfinite().all()
    assert weights.sum().item() == pytest.approx(1)
    if size > 1:
        assert weights.tolist() == [0, 0, 1]


EVEN = torch.full((3,), 1 / 3)


def test_one_step_by_hand() -> None:
    weights, losses = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([1.0, 2.0, 0.5])
    # w + step x (loss - gamma x (w - 1/3)): .5 + .1 (1 - 2/6), .3 + .1 (2 + .2/3), ...
    raised = [0.5 + 0.1 * 2 / 3, 0.3 + 0.1 * (2 + 0.2 / 3), 0.2 + 0.1 * (0.5 + 0.8 / 3)]
    excess = (sum(raised) - 1) / 3
    expected = [value - excess for value in raised]
    assert moved(weights, losses, 0.1, 2.0).tolist() == pytest.approx(expected)


@given(st.lists(st.floats(0, 5), min_size=3, max_size=3, unique=True))
def test_without_pull_a_long_step_goes_to_the_highest_loss(losses: list[float]) -> None:
    values = torch.tensor(losses, dtype=torch.float64)
    best = values.topk(2).values
    long = 2 / max(float(best[0] - best[1]), 1e-12)
    found = moved(EVEN.double(), values, long, 0.0)
    assert found.argmax() == values.argmax()
    assert found.max() == 1


def test_with_much_pull_weights_stay_even() -> None:
    weights = torch.tensor([1.0, 0.0, 0.0])
    found = moved(weights, torch.tensor([5.0, 0.0, 2.0]), 1e-6, 1e6)
    assert torch.allclose(found, EVEN, atol=1e-4)


@given(st.lists(st.floats(0, 0.9), min_size=3, max_size=3), st.floats(1, 10))
@hypothesis_settings(max_examples=20)
def test_steps_settle_where_the_pull_balances_the_losses(losses: list[float], gamma: float) -> None:
    """The maximum of sum w loss - gamma / 2 |w - 1/m|^2 is the projection of 1/m + loss / gamma."""
    weights, values = EVEN.double(), torch.tensor(losses, dtype=torch.float64)
    for _ in range(40):
        weights = moved(weights, values, 0.5 / gamma, gamma)
    assert torch.allclose(weights, nearest(1 / 3 + values / gamma), atol=1e-6)


def test_steps_that_swing_are_refused() -> None:
    check_step("it", 0.5, 2.0)
    with pytest.raises(ConfigError, match=r"it: weight_step x gamma is 2; over 1"):
        check_step("it", 1.0, 2.0)
    weights = torch.tensor([0.6, 0.4])
    for _ in range(50):  # what is refused: no loss is higher, and weights never come to rest
        weights = moved(weights, torch.zeros(2), 1.0, 2.5)
    assert (weights - 0.5).abs().max() > 0.4


def rows(count: int) -> Tensor:
    return torch.full((count, 3), 1 / 3)


def test_each_image_may_have_weights_of_its_own() -> None:
    losses = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    found = moved(rows(2), losses, 0.1, 0.0)
    for row, loss in zip(found, losses, strict=True):
        assert torch.allclose(row, moved(EVEN, loss, 0.1, 0.0))
