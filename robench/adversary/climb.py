"""What all kinds of Auto-PGD share: an ascent that is looked at after some of its steps."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Self

import torch
from torch import Tensor, nn

from robench.adversary.gradient import gradient
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
        """The first wrong iterate of each image, which goes no further, and which have one, (B,).

        ``checkpoints`` are the steps after which ``now`` adapts, each with those since the last.
        """
        found, fell = now.x.clone(), torch.zeros_like(now.y, dtype=torch.bool)
        index = torch.arange(len(found), device=found.device)
        for step in range(steps + 1):
            wrong = self._look(now, first=step == 0)
            if wrong.any():
                found[index[wrong]], fell[index[wrong]] = now.x_adv[wrong], True
                index, now, threat = index[~wrong], now.at(~wrong), threat.at(~wrong)
            if step == steps or not len(index):
                break
            self._go_on(now, threat, step, checkpoints)
        return found, fell

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
        """Which images are wrong, (B,)."""
        logits, values, grad = gradient(self.model, now.x_adv, self.loss, now.goal, self.draws)
        now.look(values, grad, first=first)
        return logits.argmax(1) != now.y

    @staticmethod
    def _go_on(now: State, threat: Threat, step: int, checkpoints: Mapping[int, int]) -> None:
        if step in checkpoints:
            now.adapt(checkpoints[step])
        now.move(threat, first=step == 0)
