"""MART: misclassified images weigh more (Wang et al. 2020, openreview:rklOg6EFwS)."""

from dataclasses import dataclass, field
from typing import Annotated

import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.losses import kl
from robench.adversary.pgd import PGD
from robench.data.batches import Batch
from robench.models.passes import Passes
from robench.training.method import Adversarial, Run


@dataclass(frozen=True, kw_only=True)
class Mart(Adversarial):
    """A boosted cross-entropy, and a KL term weighted by how wrong the natural prediction is.

    Reduces to: adversarial training with the boosted cross-entropy at beta = 0.

    Differs from the authors' code: nothing known but the shared recipe.
    """

    attack: PGD = field(default_factory=lambda: PGD(start="gaussian"))
    beta: Annotated[float, Meta(ge=0)] = 5.0
    """Weight of the KL term; the paper's lambda."""

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        clean, attacked = model(batch.x), model(x_adv)
        true = batch.y[:, None]
        runner_up = attacked.softmax(1).scatter(1, true, 0).amax(1)
        # The authors' small constants, which keep the logarithm and the weight off zero.
        boosted = F.cross_entropy(attacked, batch.y) - (1.0001 - runner_up).log().mean()
        wrongness = 1.0000001 - clean.softmax(1).gather(1, true).squeeze(1)
        return boosted + self.beta * (wrongness * kl(attacked, clean)).mean()

    def passes(self, stage: str) -> Passes:
        return super().passes(stage) + Passes(1, 1)  # the natural images


presets = {
    "*": Mart(),  # ours
    # MNIST: TRADES' attack, ours. CIFAR-10: the authors' train_resnet.py (there eps is 0.031).
    "mnist": Mart(attack=PGD(steps=40, step_size=0.01, start="gaussian")),
    "cifar10": Mart(attack=PGD(steps=10, step_size=0.007, start="gaussian")),
}
