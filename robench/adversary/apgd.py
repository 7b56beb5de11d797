"""Auto-PGD: projected ascent with momentum whose step size falls by itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar

import torch
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.climb import Climber, State
from robench.adversary.hunt import Find, Hunt, likeliest
from robench.adversary.losses import LOSSES, LossName, targeted_dlr
from robench.threat import Threat, per_image

Count = Annotated[int, Meta(ge=1)]

MOMENTUM = 0.25
"""Share of a step that the one before it makes up."""

RISES = 0.75
"""Share of steps that should raise the loss; the paper's rho."""


@dataclass(frozen=True, kw_only=True)
class APGD:
    """Auto-PGD (Croce & Hein 2020, arXiv:2003.01690, algorithm 1)."""

    only_calls: ClassVar[bool] = True
    many_radii: ClassVar[bool] = True

    loss: LossName = "cross-entropy"
    """What is raised."""
    steps: Count = 100
    """Ascent steps."""
    restarts: Count = 1
    """Random starts, each for the images that still stand."""
    draws: Count = 1
    """Gradients averaged a step: expectation over transformation, for stochastic models."""

    @property
    def budget(self) -> str:
        """What no setting changes, in words."""
        return _budget(self.steps)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        """Images (B, C, H, W), wrongly classified where a way was found; the others unchanged."""
        hunt, climb = Hunt(x, threat), self._climb(Climber(model, LOSSES[self.loss], self.draws))
        for _ in range(self.restarts):
            hunt.go(climb, x, y, y)
        return hunt.x_adv

    def _climb(self, climber: Climber) -> Find:
        return partial(_ascent, climber, self.steps)


@dataclass(frozen=True, kw_only=True)
class TargetedAPGD:
    """Auto-PGD on the targeted DLR loss, one target after the other (Croce & Hein 2020)."""

    only_calls: ClassVar[bool] = True
    many_radii: ClassVar[bool] = True

    targets: Count = 9
    """Likeliest wrong classes of the unperturbed image, as far as there are that many."""
    steps: Count = 100
    """Ascent steps a target."""
    restarts: Count = 1
    """Random starts a target."""
    draws: Count = 1
    """Gradients averaged a step: expectation over transformation, for stochastic models."""

    @property
    def budget(self) -> str:
        """What no setting changes, in words."""
        return _budget(self.steps)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        """Images (B, C, H, W), wrongly classified where a way was found; the others unchanged."""
        hunt, climb = Hunt(x, threat), self._climb(Climber(model, targeted_dlr, self.draws))
        with torch.no_grad():
            targets = likeliest(model(x), y, self.targets)
        for target in targets:
            pair = torch.stack([y, target], dim=1)
            for _ in range(self.restarts):
                hunt.go(climb, x, y, pair)
        return hunt.x_adv

    def _climb(self, climber: Climber) -> Find:
        return partial(_ascent, climber, self.steps)


def _ascent(
    climber: Climber, steps: int, x: Tensor, y: Tensor, goal: Tensor, threat: Threat
) -> tuple[Tensor, Tensor]:
    """One run from a random start: perturbed images, and the share of draws that are wrong."""
    return climber(_begin(x, y, goal, threat), threat, steps, dict(_checkpoints(steps)))


def _budget(steps: int) -> str:
    after = ", ".join(str(step) for step, _ in _checkpoints(steps))
    return (
        f"first step 2 eps, momentum {MOMENTUM}; after steps {after} it is halved where at most "
        f"{RISES:.0%} of the steps raised the loss, or where nothing improved"
    )


def _checkpoints(steps: int) -> Iterator[tuple[int, int]]:
    """Steps after which the step size is reconsidered, each with the steps since the last one.

    The first comes after 22 % of the steps; gaps shrink by 3 % of them, down to 6 %.
    """
    gap, step = max(int(0.22 * steps), 1), 0
    while (step := step + gap) <= steps:
        yield step, gap
        gap = max(gap - max(int(0.03 * steps), 1), max(int(0.06 * steps), 1))


@dataclass
class _Momentum(State):
    """Steps with a share of the last one, whose size is halved where they raise too little."""

    previous: Tensor
    """Where the last step started."""
    size: Tensor
    value: Tensor
    """Of the loss, after the last step."""
    rises: Tensor
    """Steps since the last checkpoint that raised the loss."""
    best_then: Tensor
    """The largest value at the last checkpoint."""
    halved: Tensor
    """Whether the last checkpoint halved the step size."""

    def look(self, values: Tensor, grad: Tensor, *, first: bool) -> None:
        """Take note of what the model said at ``x_adv``."""
        super().look(values, grad, first=first)
        if first:
            self.best_then = values
            return
        self.rises, self.value = self.rises + (values > self.value), values

    def adapt(self, gap: int) -> None:
        """Halve the step size and go back to the best point where the ascent has stalled."""
        stalled = ~self.halved & (self.best_then >= self.best)
        self.halved = (self.rises <= RISES * gap) | stalled
        self.size = torch.where(self.halved, self.size / 2, self.size)
        self.back(self.halved)
        self.rises, self.best_then = torch.zeros_like(self.rises), self.best

    def move(self, threat: Threat, *, first: bool) -> None:
        """One step, with a share of the last one."""
        momentum = 0.0 if first else MOMENTUM
        here, size = self.x_adv, per_image(self.size, self.x)
        step = threat.project(here + size * threat.direction(self.grad), self.x)
        ahead = here + (step - here) * (1 - momentum) + (here - self.previous) * momentum
        self.previous, self.x_adv = here, threat.project(ahead, self.x)


def _begin(x: Tensor, y: Tensor, goal: Tensor, threat: Threat) -> _Momentum:
    """A random start at the rim of the ball, and steps of twice its radius.

    The value before the first step counts as 0, as in the authors' code.
    """
    start, zero = threat.rim(x), torch.zeros(len(x), device=x.device, dtype=x.dtype)
    size = 2 * torch.as_tensor(threat.eps, device=x.device, dtype=x.dtype).expand(len(x))
    return _Momentum(
        x, y, goal, start, start, zero, start, start, start, size, zero, zero, zero,
        torch.ones_like(y, dtype=torch.bool),
    )  # fmt: skip
