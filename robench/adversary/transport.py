"""The best image of a Wasserstein ball for a gradient, by Sinkhorn iterations.

The mass of a pixel is its value. A plan says how much of it goes to which pixel nearby; its cost is
the mean squared length of all mass's way. What a plan makes of an image has the same mass in every
channel, and is no further from it than the root of the cost.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

HALVINGS = 10
"""Of the interval in which the logarithm of the price is."""

ROUNDS = 8
"""Sinkhorn iterations at each price, from where those at the last one ended."""


@dataclass(frozen=True)
class Nearness:
    """How near the pixels of an image are to each other, in [0, 1], at a price of the way.

    It is exp(-price times squared way), and 0 where the way is too far. That is the product of a
    factor for each axis, so sums over pixels are products with two matrices (Wong et al. 2019,
    arXiv:1902.07906, use a convolution).
    """

    down: Tensor
    """(B, 1, H, H)."""
    right: Tensor
    """(B, 1, W, W)."""

    @classmethod
    def at(cls, price: Tensor, size: tuple[int, int], reach: int) -> "Nearness":
        """For prices (B, 1, 1, 1) of a squared pixel, and ways of ``reach`` pixels an axis."""
        ways = [_squares(price, side) for side in size]
        down, right = (torch.exp(-price * way) * (way <= reach**2) for way in ways)
        return cls(down, right)

    def sums(self, values: Tensor) -> Tensor:
        """Of what is near each pixel, (B, C, H, W)."""
        return self.down @ values @ self.right

    def ways(self, values: Tensor) -> Tensor:
        """The same, times the squared way from there."""
        down, right = (
            factor * _squares(factor, factor.shape[-1]) for factor in (self.down, self.right)
        )
        return down @ values @ self.right + self.down @ values @ right


@dataclass(frozen=True)
class Plan:
    """From i to j goes the mass x_i pull_j near_ij / (sum over k of pull_k near_ik)."""

    x: Tensor
    """Images (B, C, H, W)."""
    pull: Tensor
    """(B, C, H, W)."""
    near: Nearness

    def sent(self) -> Tensor:
        """What each pixel sends for each unit of pull and nearness, (B, C, H, W)."""
        return self.x / self.near.sums(self.pull)

    def arrived(self) -> Tensor:
        """The image that it makes, which may be brighter than 1."""
        return self.pull * self.near.sums(self.sent())

    def cost(self) -> Tensor:
        """Mean squared way in pixels, (B, 1, 1, 1)."""
        total = (self.sent() * self.near.ways(self.pull)).sum((1, 2, 3), keepdim=True)
        return total / _mass(self.x)

    def settled(self, most: Tensor) -> "Plan":
        """Its pulls at most these, and less where more than 1 would arrive."""
        plan = self
        for _ in range(ROUNDS):
            room = 1 / plan.near.sums(plan.sent()).clamp_min(1e-30)
            plan = replace(plan, pull=torch.minimum(most, room))
        return plan


def best(x: Tensor, slope: Tensor, eps: Tensor, reach: int, sharpness: float = 30.0) -> Tensor:
    """The image that raises the sum of ``slope`` times value most, smoothed, (B, C, H, W).

    Of those in [0, 1] at a distance of at most ``eps`` pixels, (B, 1, 1, 1), and of the same mass:
    each pixel's mass goes where a softmax of slope minus price times way leads it, and pulls are
    cut where a pixel would be brighter than 1. Slopes, divided by the largest, are multiplied by
    ``sharpness``. The price is found by halving an interval.
    """
    largest = slope.abs().amax((1, 2, 3), keepdim=True)
    most = torch.exp(sharpness * (slope / largest.clamp_min(1e-30) - 1))
    low, high = torch.full_like(eps, -5.0), torch.full_like(eps, 7.0)
    size = x.shape[2], x.shape[3]
    pull = most
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        plan = Plan(x, pull, Nearness.at(middle.exp(), size, reach)).settled(most)
        dear, pull = plan.cost() > eps**2, plan.pull
        low, high = torch.where(dear, middle, low), torch.where(dear, high, middle)
    ends = [Plan(x, pull, Nearness.at(end.exp(), size, reach)).settled(most) for end in (low, high)]
    costs = [plan.cost() for plan in ends]
    # A part of a plan costs that part of it: as much as may be of the dear one, then of the other.
    dear = ((eps**2 - costs[1]) / (costs[0] - costs[1]).clamp_min(1e-30)).clamp(0, 1)
    cheap = ((eps**2 - dear * costs[0]) / costs[1].clamp_min(1e-30)).minimum(1 - dear).clamp_min(0)
    # Rounding, or plans that have not settled, may make even the first part too dear.
    part = (eps**2 / (dear * costs[0] + cheap * costs[1]).clamp_min(1e-30)).clamp(max=1)
    ways = [share * (fitting(plan) - x) for share, plan in zip((dear, cheap), ends, strict=True)]
    return x + part * (ways[0] + ways[1])


def fitting(plan: Plan, rounds: int = 10) -> Tensor:
    """The images that a plan makes when no pixel takes in more than it has room for, (B, C, H, W).

    What is turned away, the same share of all that would come to a pixel, stays where it was, which
    costs nothing. A pixel's room is 1 minus its value and what has left it. The share that may come
    grows from round to round, and after each one everything is at most 1.
    """
    x, pull, sent = plan.x, plan.pull, plan.sent()
    coming = pull * (plan.near.sums(sent) - sent)
    left = torch.zeros_like(x)
    for _ in range(rounds):
        taken = ((1 - x + left) / coming.clamp_min(1e-30)).clamp(0, 1)
        left = sent * (plan.near.sums(pull * taken) - pull * taken)
    return x - left + taken * coming


def _squares(x: Tensor, side: int) -> Tensor:
    place = torch.arange(side, device=x.device, dtype=x.dtype)
    return (place[:, None] - place) ** 2


def _mass(x: Tensor) -> Tensor:
    """Of whole images, (B, 1, 1, 1); 1 where there is none."""
    mass = x.sum((1, 2, 3), keepdim=True)
    return torch.where(mass > 0, mass, 1)
