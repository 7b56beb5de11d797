"""Carlini and Wagner's L2 attack: a weighted sum of distance and margin, for several weights."""

from dataclasses import dataclass
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.losses import margin
from robench.adversary.nearest.adam import Adam
from robench.adversary.nearest.nearest import Closest, Nearness, check

Count = Annotated[int, Meta(ge=1)]

CHECKS = 5
"""Times a descent that it is looked which images have stopped improving."""


@dataclass(frozen=True, kw_only=True)
class CarliniWagner:
    """Carlini & Wagner 2017 (arXiv:1608.04644), L2 alone.

    It lowers  |x_adv - x|^2 + c x max(0, -margin)  by Adam, in the inverse of tanh so that images
    stay in [0, 1], and searches for the smallest c at which an image becomes wrong. Where its
    objective has not improved for a fifth of the steps, an image leaves the descent; in the
    authors' code a batch does.
    """

    searches: Count = 9
    """Values of c; ten times the last one until an image is wrong, then halfway."""
    steps: Count = 1000
    """Steps of Adam for each."""
    size: Annotated[float, Meta(gt=0)] = 0.01
    """Adam's step size."""
    first: Annotated[float, Meta(gt=0)] = 1e-3
    """The first c."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, norm: Nearness) -> Tensor:
        """Images (B, C, H, W), wrongly classified where a way was found; the others unchanged."""
        check("C&W", norm, ("L2",))
        closest = Closest(x, norm)
        with torch.no_grad():
            closest.look(x, model(x).argmax(1) != y)
        c = torch.full_like(closest.distance, self.first)
        low, high = torch.zeros_like(c), torch.full_like(c, torch.inf)
        for _ in range(self.searches):
            fell = self._descend(model, closest, y, c)
            low, high = torch.where(fell, low, c), torch.where(fell, c, high)
            c = torch.where(high.isinf(), 10 * c, (low + high) / 2)
        return closest.x_adv

    def _descend(self, model: nn.Module, closest: Closest, y: Tensor, c: Tensor) -> Tensor:
        """Which images, (B,), were wrong on the way."""
        fell, index = torch.zeros_like(closest.found), torch.arange(len(y), device=y.device)
        at = torch.atanh((2 * closest.x - 1) * (1 - 1e-6))
        adam, x = Adam(at), closest.x
        best = then = torch.full_like(c, torch.inf)
        for step in range(self.steps):
            leaf = at.detach().requires_grad_()
            with torch.enable_grad():
                x_adv = (leaf.tanh() + 1) / 2
                logits = model(x_adv)
                apart = (x_adv - x).flatten(1).square().sum(1)
                loss = apart + c * (-margin(logits, y)).clamp_min(0)
                (grad,) = torch.autograd.grad(loss.sum(), leaf)
            wrong = logits.argmax(1) != y
            closest.look(x_adv, wrong, index)
            fell[index] |= wrong
            along, scale = adam(grad.nan_to_num_(0.0, 0.0, 0.0))
            at = at - self.size * along / scale
            best = torch.minimum(best, loss.detach())
            if step and step % max(self.steps // CHECKS, 1) == 0:
                go = best < 0.9999 * then
                index, at, x, y, c = index[go], at[go], x[go], y[go], c[go]
                best = then = best[go]
                adam.keep(go)
                if not len(index):
                    break
        return fell
