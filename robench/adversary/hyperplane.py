"""The nearest point of a hyperplane inside the box [0, 1], in Linf, L2 or L1."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.linalg import vecdot

from robench.radius import Norm

_ROUNDS = 50
"""More than the root search has ever needed; it is exact as soon as no coordinate changes sides."""


def onto_hyperplane(points: Tensor, normal: Tensor, offset: Tensor, norm: Norm) -> Tensor:
    """Smallest changes (B, d) that bring points to ``normal . z = offset``, staying in [0, 1].

    In Linf and L2 every coordinate moves against its excess by ``min(t * speed, room)``, with the
    same t for all: speed is 1 in Linf and ``|normal|`` in L2, room is the distance to the box. What
    the points gain is concave and piecewise linear in t, so Newton's method from t = 0 rises to the
    root and ends there after a few rounds, without sorting. In L1 the coordinate of the largest
    weight uses up its room first, then the next one. Where the hyperplane misses the box, all room
    is used up: the nearest corner (Croce & Hein 2020, arXiv:1907.02044, section 2).
    """
    excess = (normal * points).sum(1) - offset
    slope = normal * torch.where(excess >= 0, 1.0, -1.0)[:, None]
    need, weight = excess.abs(), normal.abs()
    room = torch.where(slope > 0, points, 1 - points)
    if norm == "L1":
        return -slope.sign() * _heaviest_first(need, weight, room)
    speed = torch.ones_like(weight) if norm == "Linf" else weight
    return -slope.sign() * _all_at_once(need, weight, room, speed)


def _all_at_once(need: Tensor, weight: Tensor, room: Tensor, speed: Tensor) -> Tensor:
    """How far each coordinate moves when all move for the same time."""
    most, gain = weight * room, weight * speed
    t = torch.zeros_like(need)
    for _ in range(_ROUNDS):
        free = (t[:, None] * speed < room).to(room)
        left, rate = need - vecdot(most, 1 - free), vecdot(gain, free)
        following = torch.where(rate > 0, left / rate, torch.inf)
        following = torch.maximum(torch.where(left > 0, following, t), t)
        if torch.equal(following, t):
            break
        t = following
    return torch.minimum(t[:, None].clamp_max(1e30) * speed, room)


def _heaviest_first(need: Tensor, weight: Tensor, room: Tensor) -> Tensor:
    """How far each coordinate moves when it moves only once no heavier one has room left."""
    heaviest, order = weight.sort(dim=1, descending=True)
    gained = (heaviest * room.gather(1, order)).cumsum(1)
    left = need[:, None] - F.pad(gained[:, :-1], (1, 0))
    moved = torch.where(heaviest > 0, left / heaviest, 0).clamp_min(0)
    return torch.zeros_like(room).scatter(1, order, moved).minimum(room)
