"""SPSA: simultaneous perturbations guess the gradient, and Adam follows it."""

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

_DECAYS = 0.9, 0.999
"""Of Adam's means (Kingma & Ba 2015, arXiv:1412.6980)."""


@dataclass(frozen=True, kw_only=True)
class SPSA:
    """Projected Adam along gradients from random signs (Uesato et al. 2018, 1802.05666)."""

    only_calls: ClassVar[bool] = True
    many_radii: ClassVar[bool] = True

    queries: Count = 5000
    """Forward passes of an image."""
    pairs: Count = 25
    """Directions a gradient, each asked about on both sides."""
    reach: Annotated[float, Meta(gt=0)] = 0.01
    """How far a pixel is moved for a question, in [0, 1] pixel units; the paper's delta."""
    step_size: Annotated[float, Meta(gt=0)] = 0.2
    """Length of Adam's first step, in shares of eps and in the norm of the threat model."""
    loss: LossName = "margin"
    """What is raised."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        """Images (B, C, H, W), wrongly classified where a way was found; the others unchanged."""
        return self.search(model, x, y, threat).x_adv

    def search(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Searched:
        """Perturbed images, and the questions that they cost."""
        oracle, adam = Oracle(model, x, y, threat, self.queries), _Adam(x)
        share = self.step_size / (x.shape[1:].numel() ** 0.5 if threat.norm == "L2" else 1)

        def move(rows: Tensor, grad: Tensor) -> Tensor:
            return per_image(threat.at(rows).eps, x) * share * adam(rows, grad)

        climb(oracle, LOSSES[self.loss], _signs, move, pairs=self.pairs, reach=self.reach)
        return oracle.found()


class _Adam:
    """Steps of entries of about one, with means for each image."""

    def __init__(self, x: Tensor) -> None:
        self._mean, self._square = torch.zeros_like(x), torch.zeros_like(x)
        self._steps = torch.zeros(len(x), device=x.device, dtype=x.dtype)

    def __call__(self, rows: Tensor, grad: Tensor) -> Tensor:
        """The next one of images (K,) with gradients (K, C, H, W)."""
        first, second = _DECAYS
        self._mean[rows] = first * self._mean[rows] + (1 - first) * grad
        self._square[rows] = second * self._square[rows] + (1 - second) * grad**2
        self._steps[rows] += 1
        done = per_image(self._steps[rows], grad)
        mean = self._mean[rows] / (1 - first**done)
        spread = (self._square[rows] / (1 - second**done)).sqrt()
        return torch.where(spread > 0, mean / spread, 0.0)


def _signs(count: int, like: Tensor) -> Tensor:
    return 2.0 * torch.randint_like(like.expand(count, *like.shape), 2) - 1
