"""What a family of changes is, and the one ascent over its parameters."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar, Protocol

import torch
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.hunt import Hunt, Kept
from robench.adversary.losses import LOSSES, Loss, LossName
from robench.threat import Threat, per_image


class Change(Protocol):
    """Images changed by parameters in [-1, 1]; at 0 they stay as they are."""

    def shape(self, x: Tensor) -> tuple[int, ...]:
        """Shape of one image's parameters, for images (B, C, H, W)."""
        ...

    def __call__(self, x: Tensor, at: Tensor, eps: Tensor, /) -> Tensor:
        """Images (B, C, H, W) in [0, 1], differentiable in the parameters ``at``, (B, *shape).

        ``eps``, (B, 1, 1, 1), is how strong the change may be; what it bounds the family says.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Changed:
    """Signed ascent over the parameters of a change; an image stops where all draws are wrong.

    After the attacks of Kang et al. 2019 (arXiv:1908.08016); steps fall to 0 along half a cosine.
    """

    only_calls: ClassVar[bool] = True
    many_radii: ClassVar[bool] = True

    change: Change
    losses: tuple[LossName, ...] = ("cross-entropy", "margin")
    """What is raised, each from starts of its own."""
    steps: Annotated[int, Meta(ge=1)] = 20
    """Ascent steps."""
    step_size: Annotated[float, Meta(gt=0, le=2)] = 1.0
    """Of the first step; parameters are in [-1, 1]."""
    restarts: Annotated[int, Meta(ge=1)] = 1
    """Uniform starts for each loss and the images that still stand."""
    draws: Annotated[int, Meta(ge=1)] = 1
    """Looks a step, averaged: expectation over transformation, for stochastic models."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        """Images (B, C, H, W), changed where that makes them wrong; the others unchanged."""
        hunt = Hunt(x, threat)
        for _ in range(self.restarts):
            for loss in self.losses:
                hunt.go(partial(self._try, model, LOSSES[loss]), x, y)
        return hunt.x_adv

    def _try(
        self, model: nn.Module, loss: Loss, x: Tensor, y: Tensor, threat: Threat
    ) -> tuple[Tensor, Tensor]:
        kept = Kept(x)
        eps = per_image(threat.eps, x).expand(len(x), 1, 1, 1)
        at = x.new_empty(len(x), *self.change.shape(x)).uniform_(-1, 1)
        for step in range(self.steps + 1):
            x_adv, logits, grad = self._look(model, loss, x, y, at, eps)
            goes_on = kept.look(x_adv, logits, y)
            x, y, at, eps, grad = (row[goes_on] for row in (x, y, at, eps, grad))
            if step == self.steps or not len(y):
                break
            size = self.step_size * (1 + math.cos(math.pi * step / self.steps)) / 2
            at = (at + size * grad.sign()).clamp(-1, 1)
        return kept.x_adv, kept.wrong

    def _look(
        self, model: nn.Module, loss: Loss, x: Tensor, y: Tensor, at: Tensor, eps: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Changed images, logits (D, B, K) of all draws, and the gradients of the parameters."""
        with torch.enable_grad():
            leaf = at.detach().requires_grad_()
            x_adv = self.change(x, leaf, eps)
            logits = drawn(model, x_adv, self.draws)
            total = loss(logits.mean(0), y).sum()
            (grad,) = torch.autograd.grad(total, leaf)
        return x_adv.detach(), logits.detach(), grad.nan_to_num_(0.0, 0.0, 0.0)


def drawn(model: nn.Module, x: Tensor, draws: int) -> Tensor:
    """Logits (D, B, classes), several answers of a model that draws."""
    return torch.stack([model(x) for _ in range(draws)])
