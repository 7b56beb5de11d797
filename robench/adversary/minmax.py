"""One perturbation against several things at once; weight goes to what still resists it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import torch
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary import simplex
from robench.adversary.losses import margin
from robench.adversary.pgd import PGD, ascend
from robench.adversary.views import VIEWS, View
from robench.threat import Threat, per_image

Margins = Callable[[Tensor], Tensor]
"""Perturbed images (B, C, H, W) to margins (B, m): over 0 where one of m things has given way."""


@dataclass(frozen=True, kw_only=True)
class MinMax:
    """Ascent on weighted margins (Wang et al. 2021, arXiv:1906.03563).

    Each perturbation has weights of its own on the m things that it should break. Every step first
    moves them towards what resists most, which raises the least of the margins and not their mean.
    """

    attack: PGD = field(default_factory=lambda: PGD(steps=40))
    """Steps of the perturbation."""
    weight_step: Annotated[float, Meta(ge=0)] = 1 / 40
    """Of the weights; 0: they stay even. The authors' 1 / beta."""
    gamma: Annotated[float, Meta(ge=0)] = 3.0
    """Pull towards even weights; the authors'."""

    def __post_init__(self) -> None:
        """Refuse weights that swing."""
        simplex.check_step("min-max", self.weight_step, self.gamma)

    def __call__(self, margins: Margins, x: Tensor, threat: Threat, *, halt: bool) -> Tensor:
        """Images around ``x``; with ``halt`` a row ends where everything has given way."""
        weights: Tensor | None = None

        def objective(values: Tensor) -> Tensor:
            nonlocal weights
            before = torch.full_like(values, 1 / values.shape[1]) if weights is None else weights
            weights = simplex.moved(before, -values.detach(), self.weight_step, self.gamma)
            return (weights * values).sum(1)

        def all_broken(values: Tensor, objectives: Tensor, step: int) -> Tensor:
            return (values > 0).all(1)

        return ascend(
            margins,
            x,
            self.attack.begin(x, threat),
            objective,
            threat,
            steps=self.attack.steps,
            size=self.attack.size(threat),
            halt=all_broken if halt else None,
        )


@dataclass(frozen=True, kw_only=True)
class Universal:
    """One perturbation for several images of a class."""

    only_calls: ClassVar[bool] = True

    search: MinMax = field(default_factory=MinMax)
    group: Annotated[int, Meta(ge=1)] = 10
    """Images that share one, at most; the authors' 10."""

    @property
    def budget(self) -> str:
        """What it means, in words."""
        return (
            "one perturbation for all images of a group, which are of one class and stand next to "
            "each other among those attacked at once: who is in a group depends on who has fallen "
            "before, and an image may fall to a perturbation of its own and stand here"
        )

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        """Images (B, C, H, W), each with its group's perturbation and cut to [0, 1]."""
        rows = groups(y, self.group)
        labels = y[rows].flatten()

        def shown(canvas: Tensor) -> Tensor:
            return (x[rows] + (2 * canvas - 1)[:, None]).clamp(0, 1)

        def margins(canvas: Tensor) -> Tensor:
            return margin(model(shown(canvas).flatten(0, 1)), labels).view(rows.shape)

        # At half its size around grey, so that [0, 1] leaves room for all of it.
        grey = x.new_full((len(rows), *x.shape[1:]), 0.5)
        canvas = self.search(margins, grey, Threat(threat.norm, threat.eps / 2), halt=True)
        x_adv = x.clone()
        x_adv[rows.flatten()] = shown(canvas).flatten(0, 1)
        return threat.project(x_adv, x)


def groups(y: Tensor, most: int) -> Tensor:
    """Positions of images of one class, (G, K), in order; a short group has some of its own twice.

    K is ``most``, or the images of the commonest class where those are fewer.
    """
    every = [(y == label).nonzero().squeeze(1) for label in y.unique()]
    size = min(most, max(len(mine) for mine in every))
    parts = [part for mine in every for part in mine.split(size)]
    again = torch.arange(size, device=y.device)
    return torch.stack([part[again % len(part)] for part in parts])


@dataclass(frozen=True, kw_only=True)
class Transformed:
    """One perturbation that breaks an image however it is seen."""

    only_calls: ClassVar[bool] = True
    many_radii: ClassVar[bool] = True

    search: MinMax = field(default_factory=MinMax)
    views: tuple[View, ...] = tuple(VIEWS)
    """Shifts by one pixel, brightness by a fifth."""

    @property
    def budget(self) -> str:
        """What it means, in words."""
        return (
            "an image falls only to a perturbation that makes it wrong in every view: what stands "
            "may well be wrong in some"
        )

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        """Images (B, C, H, W), perturbed where all views are wrong; the others unchanged."""

        def margins(x_adv: Tensor) -> Tensor:
            return torch.stack([margin(model(VIEWS[view](x_adv)), y) for view in self.views], 1)

        x_adv = self.search(margins, x, threat, halt=True)
        with torch.no_grad():
            broken = (margins(x_adv) > 0).all(1)
        return torch.where(per_image(broken, x).bool(), x_adv, x)
