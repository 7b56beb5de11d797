"""What all kinds of Auto-PGD share: an ascent that is looked at after some of its steps."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Self

import torch
from torch import Tensor, nn

from robench.adversary.gradient import expected
from robench.adversary.hunt import Kept
from robench.adversary.losses import Loss
from robench.threat import Threat, per_image


@dataclass
class State:
    """Where the images are that still stand: a row of every tensor an image."""

    x: Tensor
    y: Tensor
    goal: Tensor
    x_adv: Tensor
    """Where the next step starts."""
    grad: Tensor
    best: Tensor
    """The largest value of the loss so far, and where it was met."""
    best_x: Tensor
    best_grad: Tensor

    def at(self, keep: Tensor) -> Self:
        """Those of some of the images."""
        return replace(self, **{f.name: getattr(self, f.name)[keep] for f in fields(self)})

    def look(self, values: Tensor, grad: Tensor, *, first: bool) -> None:
        """Take note of what the model said at ``x_adv``."""
        self.grad = grad
        if first:
            self.best, self.best_grad = values, grad
            return
        better = values > self.best
        wide = per_image(better, self.x).bool()
        self.best_x = torch.where(wide, self.x_adv, self.best_x)
        self.best_grad = torch.where(wide, grad, self.best_grad)
        self.best = torch.where(better, values, self.best)

    def back(self, mask: Tensor) -> None:
        """These images go back to where their loss was highest."""
        wide = per_image(mask, self.x).bool()
        self.x_adv = torch.where(wide, self.best_x, self.x_adv)
        self.grad = torch.where(wide, self.best_grad, self.grad)

    def adapt(self, gap: int) -> None:
        """Reconsider how to go on, ``gap`` steps after the last time."""
        raise NotImplementedError

    def move(self, threat: Threat, *, first: bool) -> None:
        """One step."""
        raise NotImplementedError


@dataclass(frozen=True)
class Climber:
    """What is raised, and how often the model is asked for its gradient."""

    model: nn.Module
    loss: Loss
    draws: int = 1

    def __call__(
        self, now: State, threat: Threat, steps: int, checkpoints: Mapping[int, int]
    ) -> tuple[Tensor, Tensor]:
        """The iterate of each image that most draws get wrong, and their share, (B,).

        An image that all get wrong goes no further. ``checkpoints`` are the steps after which
        ``now`` adapts, each with those since the last.
        """
        kept = Kept(now.x)
        for step in range(steps + 1):
            goes_on = kept.look(now.x_adv, self._look(now, first=step == 0), now.y)
            if not goes_on.all():
                now, threat = now.at(goes_on), threat.at(goes_on)
            if step == steps or not len(now.y):
                break
            self._go_on(now, threat, step, checkpoints)
        return kept.x_adv, kept.wrong

    def best(
        self, now: State, threat: Threat, steps: int, checkpoints: Mapping[int, int]
    ) -> Tensor:
        """Where the loss of each image was highest, whatever the predictions were."""
        for step in range(steps + 1):
            self._look(now, first=step == 0)
            if step < steps:
                self._go_on(now, threat, step, checkpoints)
        return now.best_x

    def _look(self, now: State, *, first: bool) -> Tensor:
        """What each draw says, (D, B, K)."""
        logits, values, grad = expected(self.model, now.x_adv, self.loss, now.goal, self.draws)
        now.look(values, grad, first=first)
        return logits

    @staticmethod
    def _go_on(now: State, threat: Threat, step: int, checkpoints: Mapping[int, int]) -> None:
        if step in checkpoints:
            now.adapt(checkpoints[step])
        now.move(threat, first=step == 0)
