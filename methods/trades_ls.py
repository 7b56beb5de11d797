"""TRADES-LS: TRADES with smoothed labels, DM-AT's loss (Wang et al. 2023, arXiv:2302.04638)."""

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.losses import kl
from robench.adversary.pgd import PGD
from robench.data.batches import Batch
from robench.models.passes import Passes
from robench.training.method import Adversarial, Run


@dataclass(frozen=True, kw_only=True)
class TradesLs(Adversarial):
    """The cross-entropy of natural images is with smoothed labels; the KL term and attack are not.

    Reduces to: TRADES at smoothing = 0 and attack.start = gaussian; smoothed natural training at
    beta = 0.

    Differs from the authors' code: examples are crafted in eval mode (theirs: in train mode with
    frozen statistics).
    """

    beta: Annotated[float, Meta(ge=0)] = 5.0
    """Weight of the KL term; the authors'."""
    smoothing: Annotated[float, Meta(ge=0, lt=1)] = 0.1
    """Share of a label that goes to all classes alike; the authors'."""

    def perturb(self, model: nn.Module, batch: Batch, run: Run) -> Tensor:
        with torch.no_grad():
            clean = model(batch.x)
        return self.attack(model, batch.x, clean, run.threat, loss=kl)

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        clean, attacked = model(batch.x), model(x_adv)
        natural = F.cross_entropy(clean, batch.y, label_smoothing=self.smoothing)
        return natural + self.beta * kl(attacked, clean).mean()

    def passes(self, stage: str) -> Passes:
        return super().passes(stage) + Passes(2, 1)  # the attack's target; the natural images


presets = {
    "*": TradesLs(),  # ours: a step that follows eps
    "mnist": TradesLs(beta=1.0, attack=PGD(steps=40, step_size=0.01)),  # TRADES' script for MNIST
    "cifar10": TradesLs(attack=PGD(steps=10, step_size=2 / 255)),  # the authors' parser
}
