"""Auto-PGD in L1: steps along a few pixels, whose number follows the perturbation's own."""

from dataclasses import dataclass
from functools import partial
from math import ceil

import torch
from torch import Tensor

from robench.adversary.apgd import APGD, Count, TargetedAPGD
from robench.adversary.climb import Climber, State
from robench.adversary.hunt import Find
from robench.threat import Threat, per_image

WIDER = ((3.0, 0.3), (2.0, 0.3))
"""Larger radii, times eps, that are climbed in first, each with its share of the steps."""

ATTENTION = 0.04
"""Share of the steps of a radius after which sparsity and step size are reconsidered."""

SHRINK = 1.5
"""A step changes so many times fewer numbers than the perturbation; also what its size falls by."""

STILL_SPARSER = 0.95
"""Below this share of the numbers that were perturbed last time, the step has its full size."""

SMALLEST = 0.1
"""The shortest step, times eps; the longest is eps."""

_BUDGET = (
    f"radii {', '.join(f'{times:g} eps' for times, _ in WIDER)}, eps; steps of eps to "
    f"{SMALLEST:g} eps"
)


@dataclass(frozen=True, kw_only=True)
class SparseAPGD(APGD):
    """Auto-PGD for L1 alone (Croce & Hein 2021, arXiv:2103.01208), their code's rules.

    But for two things: a number that is the image's again does not count as perturbed, where their
    rounding leaves a trace; and a step can come to change a single number, which in theirs is two.
    """

    restarts: Count = 5
    """Random starts, each for the images that still stand."""

    @property
    def budget(self) -> str:
        """What no setting changes, in words."""
        return _BUDGET

    def _climb(self, climber: Climber) -> Find:
        return partial(_ascent, climber, self.steps)


@dataclass(frozen=True, kw_only=True)
class TargetedSparseAPGD(TargetedAPGD):
    """The same on the targeted DLR loss, one target after the other."""

    targets: Count = 5
    """Likeliest wrong classes of the unperturbed image, as far as there are that many."""

    @property
    def budget(self) -> str:
        """What no setting changes, in words."""
        return _BUDGET

    def _climb(self, climber: Climber) -> Find:
        return partial(_ascent, climber, self.steps)


def _ascent(
    climber: Climber, steps: int, x: Tensor, y: Tensor, goal: Tensor, threat: Threat
) -> tuple[Tensor, Tensor]:
    """One run from a random start through the radii: perturbed images, and draws that are wrong.

    Where the loss was highest in a ball is where the ascent in the next smaller one begins.
    """
    x_adv, left = x + torch.randn_like(x), steps
    for times, share in WIDER:
        ball, some = Threat(threat.norm, times * threat.eps), min(ceil(share * steps), left - 1)
        start = _begin(x, y, goal, ball.project(x_adv, x))
        x_adv, left = climber.best(start, ball, some, _checkpoints(some)), left - some
    start = _begin(x, y, goal, threat.project(x_adv, x))
    return climber(start, threat, left, _checkpoints(left))


def _checkpoints(steps: int) -> dict[int, int]:
    """Steps after which an ascent adapts; all of them, in a radius of fewer than 50 steps."""
    gap = max(int(ATTENTION * steps), 1)
    return dict.fromkeys(range(gap, steps + 1, gap), gap)


@dataclass
class _Sparse(State):
    """Steps along a few numbers of each image, of a share of the radius."""

    share: Tensor
    """Length of a step, times eps."""
    count: Tensor
    """How many numbers a step changes."""
    perturbed: Tensor
    """How many differed from the image's at the last checkpoint."""

    def adapt(self, gap: int) -> None:
        """Change fewer numbers than are perturbed where the loss was highest.

        Where those have become fewer, the ascent starts afresh from there; elsewhere it goes on
        with shorter steps.
        """
        here = _nonzero(self.best_x - self.x)
        fewer = here < STILL_SPARSER * self.perturbed
        shorter = (self.share / SHRINK).clamp_min(SMALLEST)
        self.share = torch.where(fewer, torch.ones_like(shorter), shorter)
        self.count, self.perturbed = _fewer(here), here
        self.back(fewer)

    def move(self, threat: Threat, *, first: bool) -> None:
        """One step."""
        length = per_image(self.share, self.x) * per_image(threat.eps, self.x)
        ahead = self.x_adv + length * sparse_step(self.grad, self.count)
        self.x_adv = threat.project(ahead, self.x)


def sparse_step(grad: Tensor, count: Tensor) -> Tensor:
    """Signs of each image's ``count`` (B,) largest entries, of length one in L1.

    Entries as large as the least of them are with them; those that are zero stay zero.
    """
    sizes = grad.abs().flatten(1)
    least = sizes.sort(dim=1, descending=True).values.gather(1, count[:, None] - 1)
    signs = grad.flatten(1).sign() * (sizes >= least)
    return (signs / signs.abs().sum(1, keepdim=True).clamp_min(1)).view_as(grad)


def _begin(x: Tensor, y: Tensor, goal: Tensor, start: Tensor) -> _Sparse:
    """Steps of the length of the radius along as many numbers as the start's perturbation asks."""
    zero, perturbed = torch.zeros(len(x), device=x.device, dtype=x.dtype), _nonzero(start - x)
    return _Sparse(
        x, y, goal, start, start, zero, start, start, zero + 1, _fewer(perturbed), perturbed
    )


def _nonzero(delta: Tensor) -> Tensor:
    return (delta != 0).flatten(1).sum(1)


def _fewer(perturbed: Tensor) -> Tensor:
    """How many numbers a step changes: rounded down, so that it can come to be a single one."""
    return (perturbed / SHRINK).long().clamp_min(1)
