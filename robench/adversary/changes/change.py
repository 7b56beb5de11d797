"""What a family of changes is, and the one ascent over its parameters."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar, Protocol

import torch
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.hunt import Hunt
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
    """Signed ascent over the parameters of a change; an image stops at its first wrong prediction.

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
    """Logits averaged a step: expectation over transformation, for stochastic models."""

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
        found, fell = x.clone(), torch.zeros_like(y, dtype=torch.bool)
        index = torch.arange(len(x), device=x.device)
        eps = per_image(threat.eps, x).expand(len(x), 1, 1, 1)
        at = x.new_empty(len(x), *self.change.shape(x)).uniform_(-1, 1)
        for step in range(self.steps + 1):
            x_adv, wrong, grad = self._look(model, loss, x, y, at, eps)
            found[index[wrong]], fell[index[wrong]] = x_adv[wrong], True
            index, x, y, at, eps, grad = (row[~wrong] for row in (index, x, y, at, eps, grad))
            if step == self.steps or not len(index):
                break
            size = self.step_size * (1 + math.cos(math.pi * step / self.steps)) / 2
            at = (at + size * grad.sign()).clamp(-1, 1)
        return found, fell

    def _look(
        self, model: nn.Module, loss: Loss, x: Tensor, y: Tensor, at: Tensor, eps: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Changed images, which of them are wrong, and the gradients of the parameters."""
        with torch.enable_grad():
            leaf = at.detach().requires_grad_()
            x_adv = self.change(x, leaf, eps)
            logits = mean_logits(model, x_adv, self.draws)
            total = loss(logits, y).sum()
            (grad,) = torch.autograd.grad(total, leaf)
        return x_adv.detach(), logits.detach().argmax(1) != y, grad.nan_to_num_(0.0, 0.0, 0.0)


def mean_logits(model: nn.Module, x: Tensor, draws: int) -> Tensor:
    """Logits (B, classes), the mean of several answers of a model that draws."""
    return torch.stack([model(x) for _ in range(draws)]).mean(0)
