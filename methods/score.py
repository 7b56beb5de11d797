"""SCORE: squared errors in place of TRADES' logarithms (Pang et al. 2022, arXiv:2202.10103)."""

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.pgd import PGD
from robench.data.batches import Batch
from robench.models.passes import Passes
from robench.training.method import Adversarial, Run


@dataclass(frozen=True, kw_only=True)
class Score(Adversarial):
    """Squared distance of probabilities to the label, and of attacked ones to natural ones.

    The attack raises the second, which is a metric squared and bounded by 2.

    Reduces to: training on the Brier score of natural images at beta = 0; TRADES with the
    cross-entropy and the KL in place of the two distances.

    Differs from the authors' code: examples are crafted in eval mode (theirs: in train mode with
    frozen statistics). What their results add is left out: generated images, cut-mix, a running
    average of weights, losses clipped from below.
    """

    beta: Annotated[float, Meta(ge=0)] = 4.0
    """Weight of the distance to natural probabilities; the authors', with generated images."""

    def perturb(self, model: nn.Module, batch: Batch, run: Run) -> Tensor:
        with torch.no_grad():
            clean = model(batch.x).softmax(1)
        return self.attack(model, batch.x, clean, run.threat, loss=squared_distance)

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        clean, attacked = model(batch.x), model(x_adv)
        label = F.one_hot(batch.y, clean.shape[1])
        moved = squared_distance(attacked, clean.softmax(1))
        return squared_distance(clean, label).mean() + self.beta * moved.mean()

    def passes(self, stage: str) -> Passes:
        return super().passes(stage) + Passes(2, 1)  # the attack's target; the natural images


def squared_distance(logits: Tensor, probabilities: Tensor) -> Tensor:
    """Squared L2 distance of each image's probabilities to given ones."""
    return (logits.softmax(1) - probabilities).square().sum(1)


presets = {
    "*": Score(),  # ours: the authors' beta, a step that follows eps
    "mnist": Score(attack=PGD(steps=40, step_size=0.01)),  # ours: TRADES' attack, another start
    "cifar10": Score(attack=PGD(steps=10, step_size=2 / 255)),  # the authors' README and parser
}
