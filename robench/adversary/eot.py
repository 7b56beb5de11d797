"""Expectation over transformation: any attack against the mean answer of a stochastic model."""

from dataclasses import dataclass
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.attack import Attack
from robench.threat import Threat


@dataclass(frozen=True, kw_only=True)
class EOT:
    """An attack that sees the mean logits of several draws (Athalye et al. 2018, 1802.00420).

    Auto-PGD has ``draws`` of its own, which averages gradients instead, as AutoAttack does.
    """

    attack: Attack
    draws: Annotated[int, Meta(ge=1)] = 20
    """Forward passes for each one that the attack asks for."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        """What the attack finds."""
        return self.attack(Averaged(model, self.draws), x, y, threat)


class Averaged(nn.Module):
    """The mean answer of a model that draws."""

    def __init__(self, model: nn.Module, draws: int) -> None:
        super().__init__()
        self.model, self.draws = model, draws
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Mean logits (B, K) of images (B, C, H, W)."""
        return self.drawn(x).mean(0)

    def drawn(self, x: Tensor) -> Tensor:
        """Logits of every draw, (D, B, K)."""
        return torch.stack([self.model(x) for _ in range(self.draws)])
