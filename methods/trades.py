"""TRADES: natural loss plus KL to the attacked prediction (Zhang et al. 2019, arXiv:1901.08573)."""

from dataclasses import dataclass, field
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
class Trades(Adversarial):
    """The attack raises the same KL that the loss lowers.

    Reduces to: natural training at beta = 0.

    Differs from the authors' code: nothing known but the shared recipe.
    """

    attack: PGD = field(default_factory=lambda: PGD(start="gaussian"))
    beta: Annotated[float, Meta(ge=0)] = 6.0
    """Weight of the KL term; the paper's 1 / lambda."""

    def perturb(self, model: nn.Module, batch: Batch, run: Run) -> Tensor:
        with torch.no_grad():
            clean = model(batch.x)  # once: it does not change while the attack goes on
        return self.attack(model, batch.x, clean, run.threat, loss=kl)

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        clean, attacked = model(batch.x), model(x_adv)
        return F.cross_entropy(clean, batch.y) + self.beta * kl(attacked, clean).mean()

    def passes(self, stage: str) -> Passes:
        return super().passes(stage) + Passes(2, 1)  # the attack's target; the natural images


presets = {
    "*": Trades(),  # ours: the authors' beta, a step that follows eps
    # The authors' train_trades_mnist.py and train_trades_cifar10.py (there eps is 0.031).
    "mnist": Trades(beta=1.0, attack=PGD(steps=40, step_size=0.01, start="gaussian")),
    "cifar10": Trades(beta=6.0, attack=PGD(steps=10, step_size=0.007, start="gaussian")),
}
