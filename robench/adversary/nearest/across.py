"""The smallest move that raises a linear function by a given amount."""

import torch
from torch import Tensor

from robench.adversary.nearest.nearest import Nearness, dual
from robench.threat import Threat, per_image


def across(x: Tensor, normal: Tensor, need: Tensor, norm: Nearness) -> Tensor:
    """The smallest moves (B, C, H, W) after which ``normal . x`` is higher by ``need``, (B,).

    In L1 and L0, where few pixels move, they stay in the box; where that is too small, all its room
    is used up. In Linf and L2 they take no notice of it.
    """
    if norm in ("Linf", "L2"):
        length = need / dual(normal, norm).clamp_min(1e-12)
        return per_image(length, x) * Threat(norm, 1.0).direction(normal)
    weight, room = normal.abs(), torch.where(normal > 0, 1 - x, x)
    if norm == "L1":
        moves = _steepest(weight.flatten(1), room.flatten(1), need).view_as(x)
    else:
        moves = _fewest((weight * room).sum(1).flatten(1), need).view_as(x[:, :1]) * room
    return normal.sign() * moves


def _steepest(weight: Tensor, room: Tensor, need: Tensor) -> Tensor:
    """Lengths (B, d) of moves: coordinates of the largest weight first, each to its room's end."""
    ordered, order = weight.sort(dim=1, descending=True)
    gain = ordered * room.gather(1, order)
    before = gain.cumsum(1) - gain
    wanted = (need[:, None] - before).clamp_min(0) / ordered.clamp_min(1e-30)
    length = torch.minimum(wanted, room.gather(1, order)) * (ordered > 0)
    return torch.zeros_like(room).scatter(1, order, length)


def _fewest(gain: Tensor, need: Tensor) -> Tensor:
    """Which pixels (B, pixels) move, as 0 and 1: those that gain most, until it is enough."""
    ordered, order = gain.sort(dim=1, descending=True)
    moves = (ordered.cumsum(1) - ordered < need[:, None]) & (ordered > 0)
    return torch.zeros_like(gain).scatter(1, order, moves.to(gain.dtype))
