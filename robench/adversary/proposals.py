"""What Square Attack proposes: sign flips of a square in Linf, moved mass in L2 and L1."""

import math
from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor

from robench.threat import Threat, per_image


class Flips:
    """Linf: a square of a common sign a channel, at the rim of the ball.

    ``remember`` says that the model answers the same question alike. All images see the same
    proposals, so an image has refused one when its last change is older than the proposal.
    """

    def __init__(self, x: Tensor, threat: Threat) -> None:
        self.x, self.eps = x, per_image(threat.eps, x).expand(len(x), 1, 1, 1)
        self.remember = False
        self._changed = torch.full((len(x),), -1, device=x.device)
        self._asked: dict[tuple[object, ...], int] = {}

    def start(self) -> Tensor:
        """Vertical stripes of random sign."""
        count, channels, _, width = self.x.shape
        return (self.x + self.eps * _signs(self.x, count, channels, 1, width)).clamp(0, 1)

    def __call__(self, best: Tensor, query: int, share: float) -> tuple[Tensor, Tensor]:
        """Rows (K,) that are asked, and their candidates (K, C, H, W)."""
        _, channels, height, width = self.x.shape
        side = min(max(round(math.sqrt(share * height * width)), 1), height, width)
        window = _window(height, width, side)
        signs = _signs(self.x, channels, 1, 1)
        square = (self.x[window] + self.eps * signs).clamp(0, 1)
        rows = torch.arange(len(best), device=best.device)
        if self.remember:
            name = (side, window[2].start, window[3].start, *signs.flatten().tolist())
            new = (square != best[window]).flatten(1).any(1)
            rows = rows[new & (self._changed > self._asked.get(name, -2))]
            self._asked[name] = query
        candidates = best[rows]
        candidates[window] = square[rows]
        return rows, candidates

    def accept(self, rows: Tensor, query: int) -> None:
        """These images have changed."""
        self._changed[rows] = query

    def keep(self, mask: Tensor) -> None:
        """Only these images go on."""
        self.x, self.eps, self._changed = self.x[mask], self.eps[mask], self._changed[mask]


class Bumps:
    """L2: two square bumps of opposite sign, fed with the mass of another square."""

    power: ClassVar[int] = 2
    """Of the norm in which a bump is one long."""

    def __init__(self, x: Tensor, threat: Threat) -> None:
        self.x, self.eps = x, per_image(threat.eps, x).expand(len(x), 1, 1, 1)
        self.remember = False

    def start(self) -> Tensor:
        """A grid of five by five bumps."""
        count, channels, height, width = self.x.shape
        side = max(height // 5, 1)
        margin, delta = (height - 5 * side) // 2, torch.zeros_like(self.x)
        for row in range(height // side):
            for column in range(width // side):
                top, left = margin + row * side, margin + column * side
                bump = _bump(side, self.power).to(self.x) * _signs(self.x, count, channels, 1, 1)
                place = delta[:, :, top : top + side, left : left + side]
                place += bump[:, :, : place.shape[2], : place.shape[3]]
        return self._at_rim(delta)

    def __call__(self, best: Tensor, query: int, share: float) -> tuple[Tensor, Tensor]:
        """Rows (K,) that are asked, all of them, and their candidates (K, C, H, W)."""
        count, channels, height, width = self.x.shape
        side = max(round(math.sqrt(share * height * width)), 3)
        side = min(side + (side % 2 == 0), height, width)
        target, source = _window(height, width, side), _window(height, width, side)
        delta = best - self.x
        touched = torch.zeros_like(delta, dtype=torch.bool)
        touched[target] = touched[source] = True
        budget = self._budget(delta, touched)
        bump = _bump(side, self.power).to(self.x) * _signs(self.x, count, channels, 1, 1)
        bump += delta[target] / (1e-12 + self._length(delta[target], (2, 3)))
        bump *= budget / (1e-12 + self._length(bump, (2, 3)))
        delta[source] = 0
        delta[target] = bump
        return torch.arange(len(best), device=best.device), self._at_rim(delta)

    def accept(self, rows: Tensor, query: int) -> None:
        """Nothing is remembered: no two proposals are alike."""

    def keep(self, mask: Tensor) -> None:
        """Only these images go on."""
        self.x, self.eps = self.x[mask], self.eps[mask]

    def _length(self, delta: Tensor, dims: tuple[int, ...]) -> Tensor:
        return _energy(delta, dims).sqrt()

    def _budget(self, delta: Tensor, touched: Tensor) -> Tensor:
        """How long the new bump of each channel may be: what two squares have, and what is left."""
        unused = (self.eps**2 - _energy(delta, (1, 2, 3))).clamp_min(0) / delta.shape[1]
        return (unused + _energy(delta * touched, (2, 3))).sqrt()

    def _at_rim(self, delta: Tensor) -> Tensor:
        length = self._length(delta, (1, 2, 3))
        return (self.x + self.eps * (delta / (length + 1e-12))).clamp(0, 1)


class Spikes(Bumps):
    """L1: the same with pointed bumps, projected where L2 is stretched, as in AutoAttack."""

    power = 1

    def _length(self, delta: Tensor, dims: tuple[int, ...]) -> Tensor:
        return delta.abs().sum(dims, keepdim=True)

    def _budget(self, delta: Tensor, touched: Tensor) -> Tensor:
        """More than there is in several channels, whose sum the projection cuts."""
        unused = (self.eps - self._length(delta, (1, 2, 3))).clamp_min(0)
        return unused + self._length(delta * touched, (2, 3)) * delta.shape[1]

    def _at_rim(self, delta: Tensor) -> Tensor:
        return Threat("L1", self.eps.flatten()).project(self.x + delta, self.x)


def proposals(x: Tensor, threat: Threat) -> Flips | Bumps:
    """Those of the threat model's norm."""
    if threat.norm == "Linf":
        return Flips(x, threat)
    return Spikes(x, threat) if threat.norm == "L1" else Bumps(x, threat)


Window = tuple[slice, slice, slice, slice]


def _window(height: int, width: int, side: int) -> Window:
    """A square somewhere in an image; the last row and column are left out, as in AutoAttack."""
    top, left = (int((size - side) * torch.rand(1).item()) for size in (height, width))
    return slice(None), slice(None), slice(top, top + side), slice(left, left + side)


def _signs(like: Tensor, *shape: int) -> Tensor:
    """Drawn on the CPU, so that no device has to be waited for."""
    return (2 * torch.rand(shape) - 1).sign().to(like)


def _bump(side: int, power: int = 2) -> Tensor:
    """Two halves of opposite sign, upright or lying, one long in L2 or L1, (side, side)."""
    bump = _upright(side, power)
    return bump.T if torch.rand(1) > 0.5 else bump


@lru_cache(maxsize=128)  # the same few sides, thousands of times
def _upright(side: int, power: int) -> Tensor:
    """The same tensor each time: to be read only."""
    half = side // 2
    bump = torch.cat([_mound(half, side, power), -_mound(side - half, side, power)])
    return bump / bump.norm(power)


def _mound(height: int, width: int, power: int) -> Tensor:
    """Rings around the middle: each adds something to all that it encloses.

    That is one over its number squared in L2, and to the fourth in L1.
    """
    rows = (torch.arange(height) - height // 2).abs()
    columns = (torch.arange(width) - width // 2).abs()
    rings = 1 / torch.arange(1, max(height // 2, width // 2) + 2) ** (2 if power == 2 else 4)
    outside = rings.flip(0).cumsum(0).flip(0)  # of a ring and all around it
    mound = outside[torch.maximum(rows[:, None], columns[None, :])]
    return mound / mound.norm(power)


def _energy(delta: Tensor, dims: tuple[int, ...]) -> Tensor:
    return (delta**2).sum(dims, keepdim=True)
