"""ALP: adversarial training with logit pairing (Kannan et al. 2018, arXiv:1803.06373)."""

from dataclasses import dataclass
from typing import Annotated

import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.pgd import PGD
from robench.data.batches import Batch
from robench.models.passes import Passes
from robench.training.method import Adversarial, Run


@dataclass(frozen=True, kw_only=True)
class Alp(Adversarial):
    """Cross-entropy on PGD examples, and the squared distance of their logits to the natural ones.

    Reduces to: adversarial training at weight = 0 and natural_share = 0.

    Differs from the authors' code: theirs is for ImageNet, with half of a batch natural; here that
    is natural_share = 0.5. The distance is summed over classes, as in the independent models of
    Mosbach et al. 2018 (arXiv:1810.12042), who broke the method on all data sets that they tried.
    """

    weight: Annotated[float, Meta(ge=0)] = 0.5
    """Of the distance between the two sets of logits; Mosbach et al.'s default."""
    natural_share: Annotated[float, Meta(ge=0, le=1)] = 0.0
    """Share of natural images in the cross-entropy."""

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        clean, attacked = model(batch.x), model(x_adv)
        natural = F.cross_entropy(clean, batch.y)
        adversarial = F.cross_entropy(attacked, batch.y)
        right = self.natural_share * natural + (1 - self.natural_share) * adversarial
        return right + self.weight * (clean - attacked).square().sum(1).mean()

    def passes(self, stage: str) -> Passes:
        return super().passes(stage) + Passes(1, 1)  # the natural images


presets = {
    "*": Alp(),  # ours: a step that follows eps
    "mnist": Alp(attack=PGD(steps=40, step_size=0.01)),  # ours: as for adversarial training
    "cifar10": Alp(attack=PGD(steps=10, step_size=2 / 255)),  # the same
}
