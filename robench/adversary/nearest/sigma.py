"""Sigma-zero: a smooth stand-in for the number of changed pixels, and small changes undone."""

from dataclasses import dataclass
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.losses import margin
from robench.adversary.nearest.adam import Adam
from robench.adversary.nearest.nearest import Closest, Nearness, anneal, check
from robench.threat import per_image

THRESHOLD_RATE = 0.01
"""Change of the threshold a step, in shares of the step size."""


@dataclass(frozen=True, kw_only=True)
class SigmaZero:
    """Sigma-zero (Cina et al. 2024, arXiv:2402.01879); L0 alone.

    The authors count channels; here a pixel's are one.
    """

    steps: Annotated[int, Meta(ge=1)] = 1000
    """Steps of Adam."""
    size: Annotated[float, Meta(gt=0)] = 1.0
    """Adam's step size at first; it falls to a tenth."""
    sigma: Annotated[float, Meta(gt=0)] = 1e-3
    """Squared length of a pixel's change that counts as half a pixel."""
    threshold: Annotated[float, Meta(ge=0, le=1)] = 0.3
    """Length of a pixel's change below which it is undone, at first."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, norm: Nearness) -> Tensor:
        """Images (B, C, H, W), wrongly classified where a way was found; the others unchanged."""
        check("sigma-zero", norm, ("L0",))
        closest, x_adv, adam = Closest(x, norm), x, Adam(x)
        threshold = torch.full_like(closest.distance, self.threshold)
        for step in range(self.steps):
            wrong, grad = self._slopes(model, x_adv, x, y)
            closest.look(x_adv, wrong)
            along, scale = adam(grad)
            size = anneal(self.size, self.size / 10, max(step - 1, 0) / self.steps)
            ahead = (x_adv - size * along / scale).clamp(0, 1)
            by = THRESHOLD_RATE * size * torch.where(wrong, 1.0, -1.0).to(x)
            threshold = (threshold + by).clamp(0, 1)
            large = (ahead - x).norm(dim=1, keepdim=True) >= per_image(threshold, x)
            x_adv = torch.where(large, ahead, x)
        return closest.x_adv

    def _slopes(
        self, model: nn.Module, x_adv: Tensor, x: Tensor, y: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Which images are wrong, and how the objective rises, at most by 1 a pixel."""
        leaf = x_adv.detach().requires_grad_()
        with torch.enable_grad():
            logits = model(leaf)
            changed = (leaf - x).square().sum(1)
            counted = (changed / (changed + self.sigma)).flatten(1).mean(1)
            loss = (-margin(logits, y)).clamp_min(0) + counted
            (grad,) = torch.autograd.grad(loss.sum(), leaf)
        grad = grad.nan_to_num_(0.0, 0.0, 0.0)
        largest = per_image(grad.flatten(1).abs().amax(1), x)
        return logits.detach().argmax(1) != y, grad / largest.clamp_min(1e-12)
