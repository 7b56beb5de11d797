"""The Wasserstein ball: distances against an exact linear program, plans against slow loops."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from torch import Tensor, nn

from robench.adversary.attack import attempt, right
from robench.adversary.transport import Nearness, Plan, best, fitting
from robench.adversary.wasserstein import Wasserstein
from robench.threat import Threat
from tests.conftest import Unsure

seeds = st.integers(0, 10_000)


def squares(side: int) -> np.ndarray:
    """Squared distances of the pixels of a square image, (side**2, side**2)."""
    place = np.array([*itertools.product(range(side), repeat=2)])
    return ((place[:, None] - place) ** 2).sum(2)


def squared_distance(x: Tensor, z: Tensor) -> float:
    """Of two images (C, H, W) of the same mass in each channel, exactly: the best plan of all.

    Mass may go anywhere within its channel, and is divided by that of the whole image.
    """
    side = x.shape[-1]
    cost, total = squares(side).ravel(), 0.0
    ones, eye = np.ones((1, side**2)), np.eye(side**2)
    flow = np.vstack([np.kron(eye, ones), np.kron(ones, eye)])
    for one, other in zip(x.double().flatten(1), z.double().flatten(1), strict=True):
        # The last pixel is left out: what comes there follows from the rest, but for rounding.
        wanted = np.concatenate([one, other * (one.sum() / other.sum())])
        found = linprog(cost, A_eq=flow[:-1], b_eq=wanted[:-1], method="highs")
        assert found.success
        total += found.fun
    return total / x.double().sum().item()


def spotted(shape: tuple[int, ...], seed: int) -> Tensor:
    """Images half of whose pixels are black, and some as bright as can be."""
    torch.manual_seed(seed)
    return (2.5 * torch.rand(shape) - 1.2).clamp(0, 1)


def strength(eps: float, count: int) -> Tensor:
    return torch.full((count, 1, 1, 1), eps)


@settings(max_examples=6)
@given(seeds, st.sampled_from([1, 2]), st.floats(0.05, 1.0))
def test_the_best_image_is_inside_the_ball_and_keeps_each_channel_s_mass(
    seed: int, channels: int, eps: float
) -> None:
    x = spotted((2, channels, 5, 5), seed)
    z = best(x, torch.randn_like(x), strength(eps, 2), reach=2)
    assert z.min() >= -1e-6
    assert z.max() <= 1 + 1e-6
    assert torch.allclose(z.sum((2, 3)), x.sum((2, 3)), atol=1e-4)
    for one, other in zip(x, z.clamp(0, 1), strict=True):
        assert squared_distance(one, other) <= eps**2 * 1.001 + 1e-5


def optimum(x: Tensor, slope: Tensor, eps: float) -> float:
    """What the best image of (1, 5, 5) raises the sum of slope times value by: a linear program."""
    count, cost = x.numel(), squares(5)
    gain = slope.double().flatten()[None] - slope.double().flatten()[:, None]
    cost = np.where(cost.reshape(count, count) <= 8, cost, 1e6)
    mass = x.double().flatten().numpy()
    ones, eye = np.ones((1, count)), np.eye(count)
    found = linprog(
        -gain.numpy().ravel(),
        A_eq=np.kron(eye, ones), b_eq=mass,
        A_ub=np.vstack([np.kron(ones, eye), cost.ravel()]),
        b_ub=np.append(np.ones(count), eps**2 * mass.sum()),
        method="highs",
    )  # fmt: skip
    return -float(found.fun)


@pytest.mark.parametrize("eps", [0.1, 0.3, 0.7])
def test_it_is_nearly_the_best_there_is(eps: float) -> None:
    shares = []
    for seed in range(6):
        x = spotted((1, 1, 5, 5), seed)
        slope = torch.randn_like(x)
        found = (slope * (best(x, slope, strength(eps, 1), reach=2) - x)).sum().item()
        most = optimum(x, slope, eps)
        assert found <= most * 1.001 + 1e-6
        shares.append(found / most)
    assert np.mean(shares) > 0.9


def plan(x: Tensor, seed: int) -> Plan:
    torch.manual_seed(seed)
    near = Nearness.at(strength(0.7, len(x)).to(x), (x.shape[2], x.shape[3]), reach=2)
    return Plan(x, torch.rand_like(x), near)


def test_a_plan_sends_all_mass_where_its_formula_says() -> None:
    """Against a loop over all pairs of pixels."""
    x = spotted((2, 2, 4, 4), 0).double()
    ours = plan(x, 1)
    for b, c in itertools.product(range(2), repeat=2):
        mass, pull = x[b, c].flatten(), ours.pull[b, c].flatten()
        way = torch.from_numpy(squares(4)).double()
        grid = torch.tensor([*itertools.product(range(4), repeat=2)])
        far = (grid[:, None] - grid).abs().amax(2) > 2
        near = torch.exp(-0.7 * way).masked_fill(far, 0) * pull
        moved = mass[:, None] * near / near.sum(1, keepdim=True)
        assert torch.allclose(ours.arrived()[b, c].flatten(), moved.sum(0))
        part = (moved * way).sum() / x[b].sum()
        alone = Plan(x[b : b + 1] * (torch.arange(2) == c)[:, None, None], ours.pull[b : b + 1],
                     Nearness(ours.near.down[:1], ours.near.right[:1]))  # fmt: skip
        assert alone.cost().item() == pytest.approx(part * x[b].sum() / x[b, c].sum())


@settings(max_examples=25)
@given(seeds, st.sampled_from([1, 10]))
def test_fitting_loses_no_mass_and_leaves_nothing_over_1_after_any_round(
    seed: int, rounds: int
) -> None:
    x = spotted((3, 2, 6, 6), seed).double()
    z = fitting(plan(x, seed), rounds)
    assert torch.allclose(z.sum((2, 3)), x.sum((2, 3)))
    assert z.max() <= 1 + 1e-9
    assert z.min() >= -1e-9


def test_where_there_is_room_for_all_fitting_is_the_plan() -> None:
    x = 0.02 * torch.rand(2, 1, 6, 6)
    ours = plan(x, 0)
    assert torch.allclose(fitting(ours), ours.arrived(), atol=1e-6)


@settings(max_examples=3)
@given(seeds)
def test_the_attack_s_images_are_at_most_eps_away(seed: int) -> None:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(25, 4)).eval()
    x, eps = spotted((16, 1, 5, 5), seed), torch.linspace(0.02, 0.3, 16)
    y = model(x).argmax(1)
    x_adv = attempt("mass", Wasserstein(steps=5), model, x, y, Threat("change", eps), 0)
    moved = (x_adv != x).flatten(1).any(1)
    assert moved.any()
    for one, other, radius in zip(x[moved], x_adv[moved], eps[moved], strict=True):
        assert other.sum().item() == pytest.approx(one.sum().item(), rel=1e-4)
        assert squared_distance(one, other) <= (5 * radius.item()) ** 2 * 1.001 + 1e-5


def test_more_room_breaks_more_and_the_rest_is_unchanged(unsure: Unsure) -> None:
    model, x, y = unsure.model, unsure.batch.x[:16], unsure.batch.y[:16]
    stand = []
    for eps in (0.0, 0.01, 0.03, 0.1):
        x_adv = attempt("mass", Wasserstein(steps=10), model, x, y, Threat("change", eps), 0)
        stands = right(model, x_adv, y)
        assert torch.equal(x_adv[stands], x[stands])
        stand.append(int(stands.sum()))
    assert stand[0] == int(right(model, x, y).sum())
    assert stand[0] > stand[1] > stand[2] >= stand[3]


def test_what_falls_to_one_loss_has_fallen_to_two(unsure: Unsure) -> None:
    model, x, y = unsure.model, unsure.batch.x[:16], unsure.batch.y[:16]
    threat = Threat("change", 0.03)
    one = attempt("mass", Wasserstein(losses=("margin",), steps=3), model, x, y, threat, 0)
    two = attempt("mass", Wasserstein(losses=("margin", "dlr"), steps=3), model, x, y, threat, 0)
    assert (right(model, two, y) <= right(model, one, y)).all()


def test_a_black_image_has_no_mass_to_move() -> None:
    x = torch.zeros(2, 1, 8, 8)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    y = model(x).argmax(1)
    assert torch.equal(Wasserstein()(model, x, y, Threat("change", 0.1)), x)


def test_it_draws_nothing_and_averages_the_draws_of_a_model(unsure: Unsure) -> None:
    model, x, y = unsure.model, unsure.batch.x[:8], unsure.batch.y[:8]
    threat = Threat("change", 0.02)
    one, other = (
        attempt("mass", Wasserstein(steps=5), model, x, y, threat, seed) for seed in (0, 1)
    )
    assert torch.equal(one, other)
    calls = list[int]()
    handle = model.register_forward_hook(lambda *_: calls.append(1))
    Wasserstein(steps=2, draws=5, losses=("margin",))(model, x, y, Threat("change", 0.0))
    handle.remove()
    assert len(calls) == 5 * 3
