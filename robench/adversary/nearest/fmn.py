"""FMN: steps in a ball that grows until an image is wrong and shrinks while it is."""

from dataclasses import dataclass
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.gradient import gradient
from robench.adversary.losses import margin
from robench.adversary.nearest.nearest import Closest, Nearness, anneal, distance, dual
from robench.threat import Threat, per_image

LAST_GAMMA = 0.001
"""What gamma has fallen to after the last step; the authors'."""

_UNIT = Threat("L2", 1.0)


@dataclass(frozen=True, kw_only=True)
class FMN:
    """Fast minimum-norm attack (Pintor et al. 2021, arXiv:2102.12827), in Linf, L2, L1 and L0.

    As in adv-lib, a step in L2 ends on the sphere and not in the ball, which is stronger. In L1 it
    ends at the nearest image that is both in the ball and in [0, 1]; the authors cut to [0, 1]
    afterwards. In L0 whole pixels are kept, where they keep single channels.
    """

    steps: Annotated[int, Meta(ge=1)] = 100
    """Steps up the margin."""
    size: Annotated[float, Meta(gt=0)] = 1.0
    """L2 length of the first step; it falls to a hundredth."""
    gamma: Annotated[float, Meta(gt=0, lt=1)] = 0.05
    """Share by which the radius rises or falls at first."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, norm: Nearness) -> Tensor:
        """Images (B, C, H, W), wrongly classified where a way was found; the others unchanged."""
        closest, x_adv = Closest(x, norm), x
        radius = torch.full((len(x),), 1.0 if norm == "L0" else torch.inf).to(x)
        most = distance((x < 0.5).to(x.dtype), x, norm)
        for step in range(self.steps):
            logits, values, grad = gradient(model, x_adv, margin, y)
            wrong, share = logits.argmax(1) != y, step / self.steps
            length = closest.look(x_adv, wrong)
            gamma = anneal(self.gamma, LAST_GAMMA, share)
            if norm == "L0":
                radius = _counted(radius, wrong, closest.distance, gamma)
            else:
                # [0, 1] cuts into the sphere: from what is left of it, radii would never grow.
                so_far = radius * (1 + LAST_GAMMA) if norm == "L2" and step else length
                ahead = so_far + values.abs() / dual(grad, norm).clamp_min(1e-12)
                radius = _measured(radius, wrong, closest, ahead, gamma)
            radius = torch.minimum(radius, most)
            by = anneal(self.size, self.size / 100, share) * _UNIT.direction(grad)
            x_adv = _project(x_adv + by, x, radius, norm)
        return closest.x_adv


def _measured(
    radius: Tensor, wrong: Tensor, closest: Closest, ahead: Tensor, gamma: float
) -> Tensor:
    """Radii of the next step; until an image has been wrong, where the boundary seems to be."""
    smaller = torch.minimum(radius * (1 - gamma), closest.distance)
    larger = torch.where(closest.found, radius * (1 + gamma), ahead)
    return torch.where(wrong, smaller, larger)


def _counted(radius: Tensor, wrong: Tensor, best: Tensor, gamma: float) -> Tensor:
    """Numbers of pixels in the next step: at least one more, or one less."""
    fewer = torch.minimum(torch.minimum(radius - 1, (radius * (1 - gamma)).floor()), best)
    more = torch.maximum(radius + 1, (radius * (1 + gamma)).floor())
    return torch.where(wrong, fewer, more).clamp_min(0)


def _project(x_adv: Tensor, x: Tensor, radius: Tensor, norm: Nearness) -> Tensor:
    if norm == "L2":
        return (x + per_image(radius, x) * _UNIT.direction(x_adv - x)).clamp(0, 1)
    if norm != "L0":
        return Threat(norm, radius).project(x_adv, x)
    size = (x_adv - x).norm(dim=1, keepdim=True)
    order = size.flatten(1).argsort(dim=1, descending=True)
    places = torch.arange(order.shape[1], device=x.device).expand_as(order)
    rank = torch.empty_like(order).scatter_(1, order, places).view_as(size)
    return torch.where(rank < per_image(radius, x), x_adv, x).clamp(0, 1)
