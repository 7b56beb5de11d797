"""PDPGD: proximal steps on the size of a perturbation, whose weight follows the outcome."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.gradient import gradient
from robench.adversary.losses import margin
from robench.adversary.nearest.adam import Adam
from robench.adversary.nearest.nearest import Closest, Nearness
from robench.adversary.nearest.proximal import proximal
from robench.threat import per_image

DUAL_SIZES = 0.1, 0.01
"""First and last step size of the weight's logarithm, which falls linearly."""

SMOOTHING = 0.9
"""How much of the weights' running mean is kept a step."""

ROUNDS = 5
"""Proximal steps a step of Adam, at most (Melchior et al. 2019, arXiv:1910.10094)."""

_LARGEST = math.log(1e6)
"""Of a logarithm of weights: beyond it one of the two is forgotten."""

_NEAR = 0.01
"""Proximal steps end where they change less than this share of the perturbation."""


@dataclass(frozen=True, kw_only=True)
class PDPGD:
    """Primal-dual proximal gradient descent (Matyasko & Chau 2021, arXiv:2106.01538).

    In Linf, L2, L1 and L0; in L0 the proximal step is that of the L2/3 quasi-norm, which the
    authors prefer to L0's own.
    """

    steps: Annotated[int, Meta(ge=2)] = 500
    """Steps of Adam."""
    size: Annotated[float, Meta(gt=0)] = 0.1
    """Adam's step size at first; it falls to a hundredth."""
    ratio: Annotated[float, Meta(gt=0, lt=1)] = 0.01
    """Weight of the distance to that of the margin at first."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, norm: Nearness) -> Tensor:
        """Images (B, C, H, W), wrongly classified where a way was found; the others unchanged."""
        closest, x_adv, adam = Closest(x, norm), x, Adam(x)
        balance = torch.full_like(closest.distance, -math.log(self.ratio))
        share = balance.sigmoid()  # of the margin; what is left goes to the distance
        for step in range(self.steps):
            logits, _, grad = gradient(model, x_adv, _behind, y)
            closest.look(x_adv, logits.argmax(1) != y)
            along, scale = adam(grad)
            size = self.size * 0.01 ** (step / self.steps)
            ahead = (x_adv - size * along / scale).clamp(0, 1)
            largest = scale.flatten(1).amax(1)
            weight = (1 - share) / share * size / largest
            x_adv = _settled(ahead, x, scale / per_image(largest, x), weight, norm)
            done = step / (self.steps - 1)
            by = DUAL_SIZES[0] * (1 - done) + DUAL_SIZES[1] * done
            right = torch.where(logits.argmax(1) == y, 1.0, -1.0).to(x)
            balance = (balance + by * right).clamp(-_LARGEST, _LARGEST)
            share = SMOOTHING * share + (1 - SMOOTHING) * balance.sigmoid()
        return closest.x_adv


def _behind(logits: Tensor, y: Tensor) -> Tensor:
    """A smooth margin of the right answer, to be lowered."""
    return F.softplus(-margin(logits, y))


def _settled(ahead: Tensor, x: Tensor, scale: Tensor, weight: Tensor, norm: Nearness) -> Tensor:
    """Smaller perturbations near those ahead, in the metric of Adam's scale; images in [0, 1].

    Each image's rounds end by themselves, so that it does not depend on the others.
    """
    goal = now = ahead - x
    go = torch.ones_like(weight, dtype=torch.bool)
    for _ in range(ROUNDS):
        moved = proximal(now - scale * (now - goal), weight, norm)
        moved = torch.where(per_image(go, x).bool(), (x + moved).clamp(0, 1) - x, now)
        change, length = ((d.flatten(1).norm(dim=1)) for d in (moved - now, moved))
        now, go = moved, change > _NEAR * length
        if not go.any():
            break
    return (x + now).clamp(0, 1)
