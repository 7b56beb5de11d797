"""Projection onto a hyperplane in the box: bisection, linear programmes, corners, the package's."""

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from torch import Tensor

from robench.adversary.hyperplane import onto_hyperplane
from robench.radius import BALLS, NORMS, Norm

Array = npt.NDArray[np.float64]

norms = st.sampled_from(BALLS)
seeds = st.integers(0, 100_000)
sizes = st.integers(1, 40)
reaches = st.sampled_from([0.0, 1e-6, 0.01, 0.3, 0.999, 1.0])


def problems(seed: int, size: int, reach: float, rows: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    """Points, some at the border; normals, some entries 0 or tiny; planes that meet the box.

    A plane lies a share ``reach`` of the way from the point to the last corner before or behind it.
    """
    g = np.random.default_rng(seed)
    points = np.clip(g.uniform(-0.3, 1.3, (rows, size)), 0, 1)
    normal = g.standard_normal((rows, size)) * 10.0 ** g.integers(-3, 2, (rows, size))
    normal[g.uniform(size=(rows, size)) < 0.2] = 0
    normal[:, 0] = np.where(normal[:, 0] == 0, 1, normal[:, 0])
    last = np.where(g.uniform(size=(rows, 1)) < 0.5, normal > 0, normal < 0)
    here, there = (normal * points).sum(1), (normal * last).sum(1)
    offset = here + reach * (there - here)
    return torch.from_numpy(points), torch.from_numpy(normal), torch.from_numpy(offset)


def length(moves: Array, norm: Norm) -> Array:
    if norm == "L1":
        return np.abs(moves).sum(-1)
    return np.abs(moves).max(-1) if norm == "Linf" else np.sqrt((moves**2).sum(-1))


def by_bisection(point: Array, normal: Array, offset: float, norm: Norm) -> Array:
    """Moves of min(t, room), or min(t |normal|, room), where t is found by halving."""
    excess = normal @ point - offset
    downhill = -np.sign(excess * normal)
    room = np.where(downhill > 0, 1 - point, point) * (downhill != 0)
    speed = np.ones_like(point) if norm == "Linf" else np.abs(normal)
    low, high = 0.0, float((room / np.where(room > 0, speed, 1)).max())
    for _ in range(200):
        middle = (low + high) / 2
        short = np.abs(normal) @ np.minimum(middle * speed, room) < abs(excess)
        low, high = (middle, high) if short else (low, middle)
    return downhill * np.minimum(high * speed, room)


@given(st.sampled_from(NORMS), seeds, sizes, reaches)
def test_the_same_as_bisection(norm: Norm, seed: int, size: int, reach: float) -> None:
    points, normal, offset = problems(seed, size, reach)
    moves = onto_hyperplane(points, normal, offset, norm).numpy()
    for i in range(len(points)):
        expected = by_bisection(points[i].numpy(), normal[i].numpy(), offset[i].item(), norm)
        # Moves, too, where they are determined; where only rounding decides, their length is.
        assert length(moves[i], norm) == pytest.approx(length(expected, norm), rel=1e-6, abs=1e-9)
        if reach < 0.99:
            assert moves[i] == pytest.approx(expected, rel=1e-6, abs=1e-9)


@given(seeds, st.integers(1, 12), st.sampled_from([1e-6, 0.01, 0.3, 0.999]))
@hypothesis_settings(max_examples=30)
def test_in_l1_it_is_the_linear_programmes(seed: int, size: int, reach: float) -> None:
    """What goes up and what goes down are variables of their own, each with its room."""
    points, _, _ = problems(seed, size, reach, rows=3)
    normal = torch.from_numpy(np.random.default_rng(seed).standard_normal((3, size)))
    here, last = (normal * points).sum(1), normal.clamp_min(0).sum(1)
    offset = here + reach * (last - here)
    moves = onto_hyperplane(points, normal, offset, "L1").numpy()
    for z, w, b, move in zip(points.numpy(), normal.numpy(), offset.numpy(), moves, strict=True):
        up, down = (zip(np.zeros(size), room, strict=True) for room in (1 - z, z))
        sides = np.concatenate([w, -w])[None]
        best = linprog(np.ones(2 * size), A_eq=sides, b_eq=[b - w @ z], bounds=[*up, *down])
        assert best.success
        assert np.abs(move).sum() == pytest.approx(best.fun, rel=1e-5, abs=1e-6)


@given(seeds, sizes)
def test_in_l1_all_but_one_coordinate_stay_or_end_at_the_border(seed: int, size: int) -> None:
    points, normal, offset = problems(seed, size, 0.3)
    ends = points + onto_hyperplane(points, normal, offset, "L1")
    between = (ends != points) & (ends > 1e-12) & (ends < 1 - 1e-12)
    assert (between.sum(1) <= 1).all()


@given(norms, seeds, sizes, reaches, st.sampled_from([torch.float, torch.double]))
def test_ends_on_the_hyperplane_and_in_the_box(
    norm: Norm, seed: int, size: int, reach: float, dtype: torch.dtype
) -> None:
    points, normal, offset = (part.to(dtype) for part in problems(seed, size, reach))
    moves = onto_hyperplane(points, normal, offset, norm)
    ends = points + moves
    assert moves.dtype == dtype
    assert ends.min() >= 0
    assert ends.max() <= 1
    slack = (1e-5 if dtype == torch.float else 1e-12) * (1 + normal.abs().sum(1))
    assert (((normal * ends).sum(1) - offset).abs() <= slack).all()


@given(norms, seeds, st.integers(2, 10), st.sampled_from([0.01, 0.3, 0.9]))
def test_no_other_point_of_the_hyperplane_in_the_box_is_nearer(
    norm: Norm, seed: int, size: int, reach: float
) -> None:
    points, normal, offset = problems(seed, size, reach)
    found = length(onto_hyperplane(points, normal, offset, norm).numpy(), norm)
    g = np.random.default_rng(seed)
    for i in range(len(points)):
        w, b = normal[i].numpy(), offset[i].item()
        below, above = (w < 0).astype(float), (w > 0).astype(float)
        spread = 10.0 ** -g.integers(0, 4, (200, 1))
        z = np.clip(points[i].numpy() + spread * g.standard_normal((200, size)), 0, 1)
        corner = np.where((z @ w < b)[:, None], above, below)  # on the other side of the plane
        share = (b - z @ w) / ((corner - z) @ w + 1e-300)
        others = z + share[:, None] * (corner - z)
        assert others @ w == pytest.approx(np.full(200, b), abs=1e-9)
        assert (length(others - points[i].numpy(), norm) >= found[i] - 1e-9).all()


@given(norms, seeds, sizes, st.sampled_from([1e-6, 1.0, 1e6]))
def test_where_the_plane_misses_the_box_it_is_the_nearest_corner(
    norm: Norm, seed: int, size: int, beyond: float
) -> None:
    points, normal, _ = problems(seed, size, 0.0)
    for side in (-1, 1):
        corner = torch.where(normal == 0, points, (side * normal > 0).double())
        offset = (normal * corner).sum(1) + side * beyond
        ends = points + onto_hyperplane(points, normal, offset, norm)
        assert torch.allclose(ends, corner, atol=1e-12)


@given(norms, seeds, st.sampled_from([-1e9, -1.0, 0.0, 1e-30, 1.0, 1e9]))
def test_a_normal_of_zeros_moves_nothing(norm: Norm, seed: int, offset: float) -> None:
    points, normal, _ = problems(seed, 12, 0.3)
    normal[::2] = 0
    moves = onto_hyperplane(points, normal, torch.full((8,), offset).double(), norm)
    assert torch.equal(moves[::2], torch.zeros_like(points[::2]))
    assert moves.isfinite().all()


@given(norms, seeds)
def test_what_lies_on_the_plane_stays(norm: Norm, seed: int) -> None:
    points, normal, _ = problems(seed, 12, 0.0)
    offset = (normal * points).sum(1)
    assert torch.equal(onto_hyperplane(points, normal, offset, norm), torch.zeros_like(points))


@given(norms, seeds, st.floats(-20, 20))
def test_the_scale_and_the_sign_of_the_equation_do_not_matter(
    norm: Norm, seed: int, power: float
) -> None:
    points, normal, offset = problems(seed, 12, 0.3)
    moves = onto_hyperplane(points, normal, offset, norm)
    for factor in (10**power, -(10**power)):
        other = onto_hyperplane(points, factor * normal, factor * offset, norm)
        assert torch.allclose(other, moves, rtol=1e-6, atol=1e-9)


@given(norms, seeds)
def test_every_row_is_a_problem_of_its_own(norm: Norm, seed: int) -> None:
    points, normal, offset = problems(seed, 20, 0.3)
    together = onto_hyperplane(points, normal, offset, norm)
    for i in range(8):
        one = slice(i, i + 1)
        alone = onto_hyperplane(points[one], normal[one], offset[one], norm)
        assert torch.allclose(together[i], alone[0], atol=1e-12)


def test_many_breakpoints_far_apart_are_still_met() -> None:
    """Weights and rooms such that every round of the root search frees one coordinate at most."""
    size = 400
    steps = torch.arange(size, dtype=torch.double)
    points, normal = (1 - (steps + 1) / size)[None], -(0.9**steps)[None]
    most = (normal.abs() * (1 - points)).sum()
    for share in (0.5, 0.9, 0.999, 1 - 1e-9):
        offset = (normal * points).sum(1) - share * most
        for norm in BALLS:
            ends = points + onto_hyperplane(points, normal, offset, norm)
            assert ((normal * ends).sum(1) - offset).abs() < 1e-12


@given(norms, seeds, st.integers(2, 200), st.sampled_from([1e-3, 0.05, 0.3, 0.7]))
def test_agrees_with_pyautoattack(norm: Norm, seed: int, size: int, reach: float) -> None:
    package = pytest.importorskip("pyautoattack.fab_projections")
    g = np.random.default_rng(seed)
    points, _, _ = problems(seed, size, reach)
    normal = torch.from_numpy(g.standard_normal((8, size)))
    last = (normal > 0).double()
    here = (normal * points).sum(1)
    offset = here + reach * ((normal * last).sum(1) - here)
    points, normal, offset = points.float(), normal.float(), offset.float()
    project = getattr(package, f"projection_{norm.lower()}")
    own = onto_hyperplane(points, normal, offset, norm)
    assert torch.allclose(own, project(points, normal, offset), atol=1e-4)
