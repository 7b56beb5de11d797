"""DDN: the direction is followed, and its length is raised or lowered by the outcome."""

from dataclasses import dataclass
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.gradient import gradient
from robench.adversary.losses import cross_entropy
from robench.adversary.nearest.nearest import Closest, Nearness, anneal, check
from robench.threat import Threat, per_image

_UNIT = Threat("L2", 1.0)


@dataclass(frozen=True, kw_only=True)
class DDN:
    """Decoupled direction and norm (Rony et al. 2019, arXiv:1811.09600); L2 alone.

    The authors' images have 256 levels of grey; these do not.
    """

    steps: Annotated[int, Meta(ge=1)] = 100
    """Steps up the cross-entropy, of length 1 at first and 0.01 at last."""
    gamma: Annotated[float, Meta(gt=0, lt=1)] = 0.05
    """Share by which the perturbation's length rises or falls a step."""
    first: Annotated[float, Meta(gt=0)] = 1.0
    """Length of the first perturbation."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, norm: Nearness) -> Tensor:
        """Images (B, C, H, W), wrongly classified where a way was found; the others unchanged."""
        check("DDN", norm, ("L2",))
        closest, x_adv = Closest(x, norm), x
        radius = torch.full((len(x),), self.first, device=x.device, dtype=x.dtype)
        most = torch.maximum(x, 1 - x).flatten(1).norm(dim=1)
        for step in range(self.steps):
            logits, _, grad = gradient(model, x_adv, cross_entropy, y)
            wrong = logits.argmax(1) != y
            closest.look(x_adv, wrong)
            radius = radius * torch.where(wrong, 1 - self.gamma, 1 + self.gamma)
            radius = torch.minimum(radius, most)
            delta = x_adv - x + anneal(1.0, 0.01, step / self.steps) * _ahead(grad)
            x_adv = (x + per_image(radius, x) * _UNIT.direction(delta)).clamp(0, 1)
        return closest.x_adv


def _ahead(grad: Tensor) -> Tensor:
    """Directions of length one; random ones where a gradient is zero."""
    lost = (grad == 0).flatten(1).all(1)
    if lost.any():
        grad = torch.where(per_image(lost, grad).bool(), torch.randn_like(grad), grad)
    return _UNIT.direction(grad)
