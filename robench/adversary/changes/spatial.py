"""Rotations and translations, by a grid search: their losses have too many local maxima to climb.

Engstrom et al. 2019 (arXiv:1712.02779) rotate by up to 30 degrees, move by up to 3 pixels of 28 or
32, and try 31 angles and 5 shifts along each axis; so do the defaults here.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.changes.change import drawn
from robench.adversary.hunt import Hunt
from robench.threat import Threat, per_image


@dataclass(frozen=True, kw_only=True)
class Turned:
    """Rotation and translation; parameters are the angle, and shifts rightwards and downwards.

    At 1 each is eps times its largest; what comes from outside the image is black.
    """

    degrees: Annotated[float, Meta(ge=0, le=180)] = 30.0
    """Largest rotation, counterclockwise, at eps 1."""
    shift: Annotated[float, Meta(ge=0, le=1)] = 3 / 28
    """Largest translation at eps 1, as a share of the image's side."""

    def shape(self, x: Tensor) -> tuple[int, ...]:
        """Three numbers."""
        return (3,)

    def __call__(self, x: Tensor, at: Tensor, eps: Tensor) -> Tensor:
        """Images (B, C, H, W), bilinear between pixels."""
        angle, right, down = (at * eps.view(-1, 1)).unbind(1)
        angle, right, down = math.radians(self.degrees) * angle, *self._in_sides(right, down)
        cos, sin = angle.cos(), angle.sin()
        turn = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
        # A pixel is fetched from where the inverse map has it: first back, then turned back.
        offset = -(turn @ torch.stack([right, down], 1)[:, :, None])
        grid = F.affine_grid(torch.cat([turn, offset], 2), [*x.shape], align_corners=False)
        return F.grid_sample(x, grid, padding_mode="zeros", align_corners=False).clamp(0, 1)

    def _in_sides(self, right: Tensor, down: Tensor) -> tuple[Tensor, Tensor]:
        """In the sampler's units: an image's side is 2."""
        return 2 * self.shift * right, 2 * self.shift * down


@dataclass(frozen=True, kw_only=True)
class TurnedSearch:
    """Every angle with every translation of a grid, until every draw is wrong.

    Nothing is drawn: a model that does not draw either falls to the same images each time.
    """

    only_calls: ClassVar[bool] = True
    many_radii: ClassVar[bool] = True

    change: Turned = field(default_factory=Turned)
    angles: Annotated[int, Meta(ge=1)] = 31
    """Evenly spaced."""
    shifts: Annotated[int, Meta(ge=1)] = 5
    """Evenly spaced along each axis."""
    draws: Annotated[int, Meta(ge=1)] = 1
    """Logits averaged at each place of the grid, for stochastic models."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        """Images (B, C, H, W), turned where that makes them wrong; the others unchanged."""
        hunt = Hunt(x, threat)
        for place in self._grid():
            hunt.go(partial(self._look, model, place), x, y)
        return hunt.x_adv

    def _grid(self) -> Iterator[tuple[float, ...]]:
        """The outermost angles come first: they break most images."""
        angles, shifts = _spread(self.angles), _spread(self.shifts)
        return itertools.product(sorted(angles, key=abs, reverse=True), shifts, shifts)

    @torch.no_grad()
    def _look(
        self, model: nn.Module, place: tuple[float, ...], x: Tensor, y: Tensor, threat: Threat
    ) -> tuple[Tensor, Tensor]:
        eps = per_image(threat.eps, x).expand(len(x), 1, 1, 1)
        x_adv = self.change(x, x.new_tensor(place).expand(len(x), 3), eps)
        wrong = drawn(model, x_adv, self.draws).argmax(-1) != y
        return x_adv, wrong.float().mean(0)


def _spread(count: int) -> list[float]:
    """From -1 to 1; 0 if it is alone."""
    return torch.linspace(-1, 1, count).tolist() if count > 1 else [0.0]
