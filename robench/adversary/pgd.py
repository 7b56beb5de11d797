"""Projected gradient ascent: the inner maximisation of every method, and the basic attack."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar, Literal

import torch
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.eot import Averaged
from robench.adversary.hunt import Hunt
from robench.adversary.losses import LOSSES, Loss, LossName, cross_entropy
from robench.models.frozen import frozen
from robench.threat import Threat, per_image

Halt = Callable[[Tensor, Tensor, int], Tensor]
"""Logits, values and the number of steps made to a mask, (B,), of the images that stop now."""

Move = Callable[[Tensor, Tensor], Tensor]
"""Gradients, and step lengths shaped to multiply them, to steps."""


def ascend(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    x_adv: Tensor,
    objective: Callable[[Tensor], Tensor],
    threat: Threat,
    *,
    steps: int,
    size: float | Tensor,
    halt: Halt | None = None,
    undo: bool = False,
    move: Move | None = None,
) -> Tensor:
    """Raise ``objective(logits)`` from ``x_adv`` by steps inside the threat model around ``x``.

    The only such loop. It takes one forward and one backward pass a step, and one more forward
    pass when ``halt`` looks at each iterate. An image that halts stays where it is, or, with
    ``undo``, goes back to where it was before its last step. The gradients of parameters are not
    computed. ``size`` may hold one step length an image; ``move`` makes a step that is not just
    steepest ascent.
    """
    size = per_image(size, x)
    previous, x_adv = x_adv.detach(), x_adv.detach()
    active = torch.ones(len(x), dtype=torch.bool, device=x.device)
    with frozen(model) if isinstance(model, nn.Module) else nullcontext():
        for step in range(steps + (halt is not None)):
            with torch.enable_grad():
                leaf = x_adv.requires_grad_()
                logits = model(leaf)
                values = objective(logits)
                total = values.sum()
            x_adv = x_adv.detach()
            if halt is not None:
                stops = active & halt(logits.detach(), values.detach(), step)
                active = active & ~stops
                if undo:
                    x_adv = torch.where(per_image(stops, x).bool(), previous, x_adv)
                if step == steps or not active.any():
                    break
            (grad,) = torch.autograd.grad(total, leaf)
            grad = grad.contiguous()  # a network may hand it back with its channels last
            by = size * threat.direction(grad) if move is None else move(grad, size)
            moved = threat.project(x_adv + by, x)
            if halt is not None:
                moved = torch.where(per_image(active, x).bool(), moved, x_adv)
            previous, x_adv = x_adv, moved
    return x_adv


@dataclass(frozen=True, kw_only=True)
class PGD:
    """Projected gradient descent (Madry et al. 2018, arXiv:1706.06083); the last iterate."""

    steps: Annotated[int, Meta(ge=0)] = 10
    """Ascent steps."""
    step_size: Annotated[float, Meta(gt=0)] | None = None
    """Length of a step in [0, 1] pixel units; none: 2.5 eps / steps."""
    start: Literal["uniform", "gaussian", "none"] = "uniform"
    """Uniform in the ball; 0.001 times a standard normal, as TRADES; the image itself."""

    def size(self, threat: Threat) -> float | Tensor:
        """Length of a step in a threat model."""
        return threat.eps * 2.5 / max(self.steps, 1) if self.step_size is None else self.step_size

    def begin(self, x: Tensor, threat: Threat) -> Tensor:
        """Where the ascent starts."""
        if self.start == "uniform":
            return threat.random_start(x)
        if self.start == "gaussian":
            return threat.project(x + 1e-3 * torch.randn_like(x), x)
        return x.clone()

    def __call__(
        self,
        model: nn.Module,
        x: Tensor,
        target: Tensor,
        threat: Threat,
        loss: Loss = cross_entropy,
        halt: Halt | None = None,
        undo: bool = False,
    ) -> Tensor:
        """Images (B, C, H, W) that raise ``loss(logits, target)``, inside the threat model."""
        return ascend(
            model,
            x,
            self.begin(x, threat),
            lambda logits: loss(logits, target),
            threat,
            steps=self.steps,
            size=self.size(threat),
            halt=halt,
            undo=undo,
        )


@dataclass(frozen=True, kw_only=True)
class PGDAttack:
    """PGD as a suite runs it: an image stops at its first wrong prediction.

    So no iterate that was wrong is lost by a later step. Of a model that draws a mean may be wrong
    by luck: under EOT an image goes all the way.
    """

    only_calls: ClassVar[bool] = True
    many_radii: ClassVar[bool] = True

    pgd: PGD
    loss: LossName = "cross-entropy"
    """What is raised."""
    restarts: Annotated[int, Meta(ge=1)] = 1
    """Starts, each for the images that still stand."""

    @property
    def budget(self) -> str:
        """What follows from the settings, in words."""
        return "" if self.pgd.step_size else f"step size {2.5 / max(self.pgd.steps, 1):g} eps"

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        """Images (B, C, H, W), wrongly classified where PGD finds a way."""
        hunt = Hunt(x, threat)
        find = (
            partial(self._far, model) if isinstance(model, Averaged) else partial(self._try, model)
        )
        for _ in range(self.restarts):
            hunt.go(find, x, y)
        return hunt.x_adv

    def _try(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> tuple[Tensor, Tensor]:
        fell = torch.zeros_like(y, dtype=torch.bool)

        def halt(logits: Tensor, values: Tensor, step: int) -> Tensor:
            wrong = logits.argmax(1) != y
            fell.logical_or_(wrong)
            return wrong

        return self.pgd(model, x, y, threat, LOSSES[self.loss], halt), fell

    def _far(self, model: Averaged, x: Tensor, y: Tensor, threat: Threat) -> tuple[Tensor, Tensor]:
        found = self.pgd(model, x, y, threat, LOSSES[self.loss])
        with torch.no_grad():
            return found, (model.drawn(found).argmax(-1) != y).float().mean(0)
