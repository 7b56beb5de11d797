"""The ball: projection, random start and direction as properties."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from robench.radius import BALLS, Norm
from robench.threat import Threat

norms = st.sampled_from(BALLS)
radii = st.floats(0, 3, allow_nan=False, width=32)
seeds = st.integers(0, 10_000)
ROUNDING = 18 * 1.2e-7
"""In L1 that of 18 pixels adds up."""


def images(seed: int, spread: float = 1.0) -> tuple[Tensor, Tensor]:
    """Images in [0, 1], and points anywhere around them."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(6, 2, 3, 3, generator=generator)
    return x, x + spread * torch.randn(6, 2, 3, 3, generator=generator)


@given(norms, radii, seeds, st.sampled_from([0.001, 0.1, 1.0, 100.0]))
def test_projection_is_inside_and_idempotent(
    norm: Norm, eps: float, seed: int, spread: float
) -> None:
    threat, (x, away) = Threat(norm, eps), images(seed, spread)
    inside = threat.project(away, x)
    assert (threat.distance(inside, x) <= eps + ROUNDING).all()
    assert inside.min() >= 0
    assert inside.max() <= 1
    again = threat.project(inside, x)
    near = torch.allclose(again, inside, atol=1e-7)
    assert torch.equal(again, inside) if norm == "Linf" else near


@given(norms, seeds)
def test_projection_leaves_allowed_images_alone(norm: Norm, seed: int) -> None:
    x, _ = images(seed)
    near = (x + 0.01).clamp(0, 1)
    assert torch.equal(Threat(norm, 0.5).project(near, x), near)


@given(seeds, st.floats(0.01, 0.4))
def test_l2_projection_is_the_nearest_point_of_the_ball(seed: int, eps: float) -> None:
    x = torch.full((6, 2, 3, 3), 0.5)  # so far from [0, 1]'s border that it does not matter
    away = x + 0.2 * torch.randn(6, 2, 3, 3, generator=torch.Generator().manual_seed(seed))
    threat = Threat("L2", eps)
    nearest = threat.project(away, x)
    ratio = (threat.eps / threat.distance(away, x)).clamp(max=1).view(-1, 1, 1, 1)
    assert torch.allclose(nearest, x + (away - x) * ratio, atol=1e-6)


@given(seeds, st.floats(0.1, 6), st.sampled_from([0.1, 1.0, 30.0]))
def test_l1_projection_is_the_nearest_of_all_allowed_points(
    seed: int, eps: float, spread: float
) -> None:
    """From the nearest point of a convex set, no other one lies in the direction it came from."""
    (x, away), threat = images(seed, spread), Threat("L1", eps)
    nearest = threat.project(away, x)
    generator = torch.Generator().manual_seed(seed)
    others = [threat.project(x + s * torch.randn(x.shape, generator=generator), x) for s in (0, 3)]
    corner = torch.zeros_like(x).flatten(1)
    corner[:, seed % 18] = 1.0
    others.append(threat.project(x + corner.view_as(x), x))
    for other in others:
        assert (((away - nearest) * (other - nearest)).flatten(1).sum(1) < 1e-4 * spread).all()
    reached = threat.distance(nearest, x)
    asked = threat.distance(away.clamp(0, 1), x)
    assert torch.allclose(reached, asked.clamp_max(eps), atol=1e-5)


@given(seeds)
def test_l1_direction_is_of_length_one_on_the_largest_entries(seed: int) -> None:
    grad = torch.randn(4, 1, 10, 10, generator=torch.Generator().manual_seed(seed))
    step = Threat("L1", 1.0).direction(grad).flatten(1)
    assert torch.allclose(step.abs().sum(1), torch.ones(4))
    assert ((step != 0).sum(1) == 5).all()
    flat = grad.flatten(1)
    least = torch.where(step != 0, flat.abs(), torch.inf).amin(1)
    assert (torch.where(step == 0, flat.abs(), 0.0).amax(1) <= least).all()
    assert torch.equal(step.sign(), torch.where(step != 0, flat.sign(), 0))


@given(norms, radii, seeds)
def test_random_start_is_allowed_and_repeats(norm: Norm, eps: float, seed: int) -> None:
    threat, (x, _) = Threat(norm, eps), images(seed)
    torch.manual_seed(seed)
    start = threat.random_start(x)
    torch.manual_seed(seed)
    assert torch.equal(start, threat.random_start(x))
    assert (threat.distance(start, x) <= eps + ROUNDING).all()
    assert start.min() >= 0
    assert start.max() <= 1


def test_random_start_fills_the_ball_evenly() -> None:
    torch.manual_seed(0)
    x = torch.full((4000, 1, 1, 2), 0.5)
    for norm in BALLS:
        threat = Threat(norm, 0.3)
        distance = threat.distance(threat.random_start(x), x)
        # In two dimensions a quarter of the area lies within half of the radius.
        assert (distance < 0.15).float().mean().item() == pytest.approx(0.25, abs=0.03)
        assert distance.max() > 0.29


@given(seeds, st.floats(-30, 6))
def test_l2_direction_has_length_one_however_small_the_gradient(seed: int, power: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    grad = torch.randn(6, 2, 3, 3, generator=generator)
    direction = Threat("L2", 1.0).direction(grad * 10**power)
    assert torch.allclose(direction.flatten(1).norm(dim=1), torch.ones(6), atol=1e-5)
    assert torch.allclose(direction.flatten(1), F.normalize(grad.flatten(1)), atol=1e-4)


@pytest.mark.parametrize("norm", BALLS)
def test_zero_gradient_stays_zero_and_nan_is_not_hidden(norm: Norm) -> None:
    threat = Threat(norm, 0.1)
    assert torch.equal(threat.direction(torch.zeros(2, 1, 2, 2)), torch.zeros(2, 1, 2, 2))
    if norm == "L2":
        assert threat.direction(torch.full((1, 1, 2, 2), torch.nan)).isnan().all()


@given(norms, seeds)
def test_one_radius_an_image(norm: Norm, seed: int) -> None:
    x, away = images(seed)
    eps = torch.rand(6, generator=torch.Generator().manual_seed(seed))
    together = Threat(norm, eps).project(away, x)
    for i in range(6):
        alone = Threat(norm, eps[i].item()).project(away[i : i + 1], x[i : i + 1])
        assert torch.allclose(together[i : i + 1], alone, atol=1e-7)


@pytest.mark.parametrize("norm", BALLS)
def test_at_radius_zero_only_the_image_itself_is_allowed(norm: Norm) -> None:
    x, away = images(0)
    assert torch.equal(Threat(norm, 0.0).project(away, x), x)
    assert torch.equal(Threat(norm, 0.0).random_start(x), x)
