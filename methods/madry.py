"""Madry: cross-entropy on PGD examples (Madry et al. 2018, arXiv:1706.06083)."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from robench.adversary.pgd import PGD
from robench.data.batches import Batch
from robench.training.method import Adversarial, Run


@dataclass(frozen=True, kw_only=True)
class Madry(Adversarial):
    """The base class's PGD, and cross-entropy on what it finds.

    Reduces to: natural training with attack.steps = 0 and attack.start = none.

    Differs from the authors' code: examples are crafted in eval mode (theirs: in train mode);
    recipe.craft = train is theirs.
    """

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        return F.cross_entropy(model(x_adv), batch.y)


presets = {
    "*": Madry(),  # ours: a step that follows eps
    "mnist": Madry(attack=PGD(steps=40, step_size=0.01)),  # the authors' MNIST challenge
    "cifar10": Madry(attack=PGD(steps=10, step_size=2 / 255)),  # Rice et al. 2020; the authors: 7
}
