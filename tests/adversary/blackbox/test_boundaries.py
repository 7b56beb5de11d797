"""HopSkipJump and RayS: distances of a plane in closed form, and RayS against a slow loop."""

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from robench.adversary.blackbox.hopskipjump import HopSkipJump
from robench.adversary.blackbox.rays import TOLERANCE, RayS
from robench.radius import Norm
from robench.threat import Threat
from tests.adversary.conftest import Victim, Watched, bent, undecided

SHAPE = (1, 5, 5)


def plane(count: int = 12) -> tuple[nn.Module, Tensor, Tensor, dict[Norm, Tensor]]:
    """A linear model of two classes, images, and how far each is from the boundary."""
    torch.manual_seed(3)
    model, head, x, y = undecided(2, SHAPE, count)
    x = x + 0.1 * (2 * y - 1)[:, None, None, None] * (head.weight[1] - head.weight[0]).view(SHAPE)
    x, slope = x.clamp(0.2, 0.8), head.weight[1] - head.weight[0]
    logits = model(x)
    y = logits.argmax(1)
    gap = (logits[:, 1] - logits[:, 0]).abs()
    return model, x, y, {"Linf": gap / slope.abs().sum(), "L2": gap / slope.norm()}


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_hopskipjump_comes_near_the_distance_of_a_plane(norm: Norm) -> None:
    model, x, y, distance = plane()
    nowhere, shares = Threat(norm, 0.0), list[float]()
    for queries in (300, 1500, 6000):
        torch.manual_seed(0)
        found, near = HopSkipJump(queries=queries).nearest(model, x, y, nowhere)
        assert not found.fell.any()
        assert (model(near).argmax(1) != y).all()
        share = nowhere.distance(near, x) / distance[norm]
        assert (share > 0.999).all()
        shares.append(float(share.median()))
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] < 1.03


def test_rays_comes_near_the_distance_of_a_plane() -> None:
    model, x, y, distance = plane()
    nowhere, shares = Threat("Linf", 0.0), list[float]()
    for queries in (30, 150, 600):
        torch.manual_seed(0)
        share = RayS(queries=queries).nearest(model, x, y, nowhere)[1] / distance["Linf"]
        assert (share > 0.999).all()
        shares.append(float(share.median()))
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] < 1.1


def slowly(model: nn.Module, x: Tensor, y: int, queries: int) -> list[Tensor]:
    """What RayS asks about one image (C, H, W) until it would start again."""
    asked, size = list[Tensor](), x.numel()

    def wrong(signs: Tensor, radius: float) -> bool:
        asked.append((x + radius * signs.view_as(x)).clamp(0, 1))
        return int(model(asked[-1][None]).argmax()) != y

    best, nearest = torch.ones(size), math.inf

    def look(signs: Tensor) -> bool:
        nonlocal best, nearest
        low, high = 0.0, min(nearest, 1.0)
        if not wrong(signs, high):
            return False
        while high - low > TOLERANCE / size**0.5:
            middle = (low + high) / 2
            low, high = (low, middle) if wrong(signs, middle) else (middle, high)
        if better := high < nearest:
            best, nearest = signs, high
        return better

    look(best)
    for level in itertools.count():
        width, changed = math.ceil(size / 2**level), False
        for begin in range(0, size, width):
            signs = best.clone()
            signs[begin : begin + width] *= -1
            changed |= look(signs)
        if (width == 1 and not changed) or len(asked) > queries:
            return asked
    raise AssertionError


@pytest.mark.parametrize("factor", [1.0, 4.0])
def test_rays_asks_what_a_slow_loop_asks(factor: float) -> None:
    torch.manual_seed(1)
    model, x = bent(25, 3, factor).requires_grad_(False), torch.rand(2, *SHAPE)
    y, watched = model(x).argmax(1), Watched(model)
    for row in range(2):
        watched.asked.clear()
        one = slice(row, row + 1)
        RayS(queries=250).search(watched, x[one], y[one], Threat("Linf", 0.0))
        ours, theirs = torch.cat(watched.asked), slowly(model, x[row], int(y[row]), 250)
        count = min(len(theirs), 250)
        assert count > 60
        assert torch.allclose(ours[:count], torch.stack(theirs[:count]), atol=1e-6)


def test_rays_starts_again_where_it_is_stuck() -> None:
    """One ray alone is ever wrong, at any radius, so no part of it may turn round."""
    x, y = torch.full((1, *SHAPE), 0.5), torch.zeros(1, dtype=torch.long)

    class Bright(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            white = ((x - 0.5) > 0).flatten(1).all(1)
            return torch.stack([~white, white], 1).float()

    watched = Watched(Bright())
    RayS(queries=200).search(watched, x, y, Threat("Linf", 0.0))
    starts = [asked for asked in watched.asked if (asked - x).abs().amin() == 0.5]
    assert torch.equal(starts[0], torch.ones_like(x))
    assert starts[-1].unique().tolist() == [0, 1]


def test_starts_of_hopskipjump_find_what_noise_is_not() -> None:
    """A class that all noise has, and another that only dark images have."""

    class Dark(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            dark = 10 * (0.2 - x.mean((1, 2, 3)))
            return torch.stack([-dark, dark], 1)

    victim = Victim(Dark(), torch.full((4, *SHAPE), 0.6), torch.zeros(4).long(), Threat("L2", 2.2))
    torch.manual_seed(0)
    found = HopSkipJump(queries=1000).search(victim.model, victim.x, victim.y, victim.threat)
    assert found.fell.all()


def test_hopskipjump_gives_up_where_nothing_is_wrong() -> None:
    class Sure(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.eye(3)[:1].repeat(len(x), 1)

    x, y = torch.rand(3, *SHAPE), torch.zeros(3, dtype=torch.long)
    found, near = HopSkipJump(queries=1000).nearest(Sure(), x, y, Threat("L2", 0.5))
    assert found.queries.tolist() == [100, 100, 100]
    assert near.isnan().all()
    assert torch.equal(found.x_adv, x)
