"""Langevin: ascent with noise, which draws perturbations where PGD only climbs.

The hybrid Langevin Monte Carlo of DALE (Robey et al. 2021, arXiv:2110.15767). With a loss of
log(1 - p_y) it aims at perturbations drawn in proportion to the probability of a wrong answer.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar, Literal

import torch
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.losses import Loss, log_wrong
from robench.adversary.pgd import PGD, Halt, ascend
from robench.errors import ConfigError
from robench.threat import Threat, per_image


@dataclass(frozen=True, kw_only=True)
class Langevin(PGD):
    """Projected ascent whose steps are noisy; the last iterate, or the last few.

    Relative noise is a share of what it is added to, image by image: of the mean |gradient| when it
    is Laplace's, of the step when it is Gaussian. So it does not depend on the batch, nor on how
    steep an image's loss is, and an image without a gradient gets no Laplace noise.

    Reduces to: PGD from the same start at temperature = 0 or noise = none, bit for bit; FGSM with
    one step of eps from start = none besides.

    Differs from the authors' code: noise is relative by default. Theirs is absolute, and the
    gradient beside it, of a batch mean, shrinks as batches grow, until the noise decides nearly
    half of all signs by itself; ``scale = mean`` is theirs, for Laplace noise. They take the
    logarithm of 1 - p_y as it stands, whose gradient is NaN where p_y rounds to 1. Their attack
    puts the model in train mode at its end, whatever mode it was in.
    """

    only_calls: ClassVar[bool] = True
    many_radii: ClassVar[bool] = True

    start: Literal["uniform", "gaussian", "none"] = "gaussian"
    """Uniform in the ball; 0.001 times a standard normal, as the authors; the image itself."""
    noise: Literal["laplace", "gaussian", "none"] = "laplace"
    """Laplace: inside the sign, or the direction in L2; Gaussian: added to the step."""
    temperature: Annotated[float, Meta(ge=0)] = 0.3
    """Scale of the noise; ours, a tenth of the signs turn on a small network."""
    scale: Literal["relative", "sum", "mean"] = "relative"
    """What temperature is relative to: the mean |gradient| of each image (Laplace) or the step's
    length (Gaussian); or nothing. Absolute Laplace noise goes beside the gradient of each image's
    own loss (sum) or of the batch's mean loss (mean), and Gaussian noise is in pixel units."""
    last: Annotated[int, Meta(ge=1)] = 1
    """Iterates to keep, for methods that train on more than one."""

    def __post_init__(self) -> None:
        """Refuse to keep iterates that there are not."""
        if self.last > max(self.steps, 1):
            raise ConfigError(f"last = {self.last} needs as many steps, not {self.steps}")

    def __call__(
        self,
        model: nn.Module,
        x: Tensor,
        target: Tensor,
        threat: Threat,
        loss: Loss = log_wrong,
        halt: Halt | None = None,
        undo: bool = False,
    ) -> Tensor:
        """Images (B, C, H, W), the chain's end, inside the threat model."""
        start = self.begin(x, threat)
        return self._go(model, x, start, target, threat, loss, self.steps, halt, undo)

    def iterates(
        self, model: nn.Module, x: Tensor, target: Tensor, threat: Threat, loss: Loss = log_wrong
    ) -> Tensor:
        """The last iterates in order, (last, B, C, H, W); they cost no more than the end alone."""
        go = partial(self._go, model, x, target=target, threat=threat, loss=loss)
        kept = [go(self.begin(x, threat), steps=self.steps - self.last + 1)]
        for _ in range(self.last - 1):
            kept.append(go(kept[-1], steps=1))
        return torch.stack(kept)

    def _go(
        self,
        model: nn.Module,
        x: Tensor,
        x_adv: Tensor,
        target: Tensor,
        threat: Threat,
        loss: Loss,
        steps: int,
        halt: Halt | None = None,
        undo: bool = False,
    ) -> Tensor:
        return ascend(
            model,
            x,
            x_adv,
            lambda logits: loss(logits, target),
            threat,
            steps=steps,
            size=self.size(threat),
            halt=halt,
            undo=undo,
            move=partial(self._move, threat),
        )

    def _move(self, threat: Threat, grad: Tensor, size: Tensor) -> Tensor:
        """A step, from the gradient of each image's own loss."""
        if self.noise == "none" or self.temperature == 0:
            return size * threat.direction(grad)
        if self.noise == "laplace":
            return size * threat.direction(self._stirred(grad))
        unit = size if self.scale == "relative" else torch.ones_like(size)
        if self.scale == "relative" and threat.norm == "L2":
            unit = unit / math.sqrt(grad[0].numel())  # the noise is then about as long as a unit
        return size * threat.direction(grad) + self.temperature * unit * torch.randn_like(grad)

    def _stirred(self, grad: Tensor) -> Tensor:
        """A gradient with Laplace noise in it."""
        if self.scale == "relative":
            unit = per_image(grad.flatten(1).abs().mean(1), grad)
            return grad + self.temperature * unit * laplace(grad)
        if self.scale == "mean":
            grad = grad / len(grad)
        return grad + self.temperature * laplace(grad)


def laplace(like: Tensor) -> Tensor:
    """Draws from the Laplace distribution of scale 1: the difference of two exponential ones."""
    return torch.empty_like(like).exponential_() - torch.empty_like(like).exponential_()
