"""NES: natural evolution strategies guess the gradient, and PGD follows it."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.blackbox.differences import climb
from robench.adversary.blackbox.queries import Oracle, Searched
from robench.adversary.losses import LOSSES, LossName
from robench.threat import Threat, per_image

Count = Annotated[int, Meta(ge=1)]


@dataclass(frozen=True, kw_only=True)
class NES:
    """Projected ascent along gradients from Gaussian directions (Ilyas et al. 2018, 1804.08598).

    Directions come in pairs of opposite sign, and a step keeps some of the gradients before it, as
    in the authors' code.
    """

    only_calls: ClassVar[bool] = True
    many_radii: ClassVar[bool] = True

    queries: Count = 5000
    """Forward passes of an image."""
    pairs: Count = 25
    """Directions a gradient, each asked about on both sides; the paper takes 25."""
    reach: Annotated[float, Meta(gt=0)] = 0.001
    """Standard deviation of a pixel of a direction, in [0, 1] pixel units; the paper's sigma."""
    step_size: Annotated[float, Meta(gt=0)] = 0.2
    """Length of a step, in shares of eps."""
    momentum: Annotated[float, Meta(ge=0, lt=1)] = 0.9
    """What is kept of the gradients before."""
    loss: LossName = "cross-entropy"
    """What is raised."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        """Images (B, C, H, W), wrongly classified where a way was found; the others unchanged."""
        return self.search(model, x, y, threat).x_adv

    def search(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Searched:
        """Perturbed images, and the questions that they cost."""
        oracle, trend = Oracle(model, x, y, threat, self.queries), torch.zeros_like(x)

        def move(rows: Tensor, grad: Tensor) -> Tensor:
            trend[rows] = self.momentum * trend[rows] + (1 - self.momentum) * grad
            size = per_image(threat.at(rows).eps, x) * self.step_size
            return size * threat.direction(trend[rows])

        climb(oracle, LOSSES[self.loss], _gaussian, move, pairs=self.pairs, reach=self.reach)
        return oracle.found()


def _gaussian(count: int, like: Tensor) -> Tensor:
    return torch.randn(count, *like.shape, device=like.device, dtype=like.dtype)
