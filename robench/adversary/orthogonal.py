"""Orthogonal PGD: past a classifier and a detector at once, neither step undoing the other."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.gradient import gradient
from robench.adversary.losses import LOSSES, LossName
from robench.threat import Threat, per_image

Score = Callable[[Tensor], Tensor]
"""Images (B, C, H, W) in [0, 1] to how natural they look to a detector, (B,): differentiable, and
what scores too low is rejected."""


@dataclass(frozen=True, kw_only=True)
class OrthogonalPGD:
    """Orthogonal projected gradient descent (Bryniarski et al. 2022, arXiv:2106.15023).

    An image that is classified rightly climbs the classifier's loss, along the part of its gradient
    that leaves the detector's score alone; one that is classified wrongly climbs the score, along
    the part that leaves the loss alone. All steps are made, and of the wrong iterates the one with
    the highest score is kept.

    Differs from the authors' code: steps shrink to nothing, because a score that is steep in some
    directions is not climbed by steps of one length; wrong is what the classifier gets wrong by any
    margin (theirs: by 0.05); the score need not be a probability.
    """

    steps: Annotated[int, Meta(ge=1)] = 100
    """Ascent steps."""
    step_size: Annotated[float, Meta(gt=0)] = 0.125
    """Length of the first step in shares of eps; the authors'. It falls linearly to 0."""
    restarts: Annotated[int, Meta(ge=1)] = 2
    """The first from the image, as the authors', the others at random in the ball."""
    loss: LossName = "cross-entropy"
    """Of the classifier, while an image is classified rightly."""

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, score: Score
    ) -> Tensor:
        """Images (B, C, H, W): wrong where a way was found, and then as natural as any found.

        Where none was found, the last iterate.
        """
        kept, last = _Kept(x), x
        for restart in range(self.restarts):
            start = threat.random_start(x) if restart else x.clone()
            last = self._climb(model, x, start, y, threat, score, kept)
        return torch.where(per_image(kept.fell, x).bool(), kept.x_adv, last)

    def _climb(
        self,
        model: nn.Module,
        x: Tensor,
        x_adv: Tensor,
        y: Tensor,
        threat: Threat,
        score: Score,
        kept: "_Kept",
    ) -> Tensor:
        """One run; the last iterate."""
        for step in range(self.steps + 1):
            logits, _, classifier = gradient(model, x_adv, LOSSES[self.loss], y)
            scores, detector = _scored(score, x_adv)
            wrong = logits.argmax(1) != y
            kept.look(x_adv, wrong, scores)
            if step < self.steps:
                freely = apart(detector, classifier), apart(classifier, detector)
                along = torch.where(per_image(wrong, x).bool(), *freely)
                size = per_image(threat.eps, x) * self.step_size * (1 - step / self.steps)
                x_adv = threat.project(x_adv + size * threat.direction(along), x)
        return x_adv


class _Kept:
    """Of the wrong iterates of each image, the one with the highest score."""

    def __init__(self, x: Tensor) -> None:
        self.x_adv = x.clone()
        self.fell = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        self._best = torch.full((len(x),), -torch.inf, device=x.device, dtype=torch.float64)

    def look(self, x_adv: Tensor, wrong: Tensor, scores: Tensor) -> None:
        better = wrong & (~self.fell | (scores > self._best))
        self.fell, self._best = self.fell | wrong, torch.where(better, scores, self._best)
        self.x_adv = torch.where(per_image(better, x_adv).bool(), x_adv, self.x_adv)


def apart(grad: Tensor, other: Tensor) -> Tensor:
    """The part of each image's gradient that is orthogonal to the other's: dot product 0.

    Both (B, C, H, W); all of it where the other is zero.
    """
    flat, away = grad.flatten(1).double(), other.flatten(1).double()
    away = away / away.norm(dim=1, keepdim=True).clamp_min(1e-300)
    return (flat - (flat * away).sum(1, keepdim=True) * away).to(grad).view_as(grad)


def _scored(score: Score, x: Tensor) -> tuple[Tensor, Tensor]:
    """Scores (B,), and their gradients (B, C, H, W); entries that are not finite become 0."""
    leaf = x.detach().requires_grad_()
    with torch.enable_grad():
        scores = score(leaf)
        total = scores.sum() + 0 * leaf.sum()  # a gradient even where none leads
    (grad,) = torch.autograd.grad(total, leaf)
    return scores.detach().double(), grad.nan_to_num(0.0, 0.0, 0.0)
