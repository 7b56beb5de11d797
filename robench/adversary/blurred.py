"""Gradients of a neighbourhood, where the gradient at a point says little of what is near."""

from dataclasses import dataclass
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.attack import Attack
from robench.models.detour import around
from robench.threat import Threat


@dataclass(frozen=True, kw_only=True)
class Blurred:
    """An attack that follows the mean logits of noisy copies of where it is.

    What it is told is what the model says there, without noise. Tramer et al. 2020
    (arXiv:2002.08347) follow such a mean, of finite differences, against k-winners-take-all.
    """

    attack: Attack
    radius: Annotated[float, Meta(gt=0)] = 1.0
    """Of the ball that noise is drawn from, as a share of eps."""
    draws: Annotated[int, Meta(ge=1)] = 20
    """Noisy copies for each gradient; the forward passes are one more."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        """What the attack finds."""
        noise = Threat(threat.norm, self.radius * threat.eps)
        return self.attack(_Blur(model, noise, self.draws), x, y, threat)


class _Blur(nn.Module):
    def __init__(self, model: nn.Module, noise: Threat, draws: int) -> None:
        super().__init__()
        self.model, self.noise, self.draws = model, noise, draws
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            here: Tensor = self.model(x)
        if not (torch.is_grad_enabled() and x.requires_grad):
            return here
        away = [self.noise.random_start(x.detach()) - x.detach() for _ in range(self.draws)]
        nearby = [self.model(x + step) for step in away]
        return around(here, torch.stack(nearby).mean(0))
