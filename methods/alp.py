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
    """Cross-entropy on PGD examples, and the mean squared distance of their logits to natural ones.

    Reduces to: adversarial training at weight = 0 and natural_share = 0, but for batch
    normalisation, whose statistics see natural images, too.

    Differs from the authors' code: theirs is for ImageNet. It attacks towards a class, smooths
    labels by 0.1, and sends both halves of a batch through the network at once, so that they share
    batch statistics; its mixed batches are natural_share = 0.5.
    """

    weight: Annotated[float, Meta(ge=0)] = 0.5
    """Of the distance, a mean over images and classes; as in the command of the authors' README."""
    natural_share: Annotated[float, Meta(ge=0, le=1)] = 0.0
    """Share of natural images in the cross-entropy."""

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        clean, attacked = model(batch.x), model(x_adv)
        natural = F.cross_entropy(clean, batch.y)
        adversarial = F.cross_entropy(attacked, batch.y)
        right = self.natural_share * natural + (1 - self.natural_share) * adversarial
        return right + self.weight * (clean - attacked).square().mean()

    def passes(self, stage: str) -> Passes:
        return super().passes(stage) + Passes(1, 1)  # the natural images


presets = {
    "*": Alp(),  # ours: a step that follows eps
    "mnist": Alp(attack=PGD(steps=40, step_size=0.01)),  # ours: as for adversarial training
    "cifar10": Alp(attack=PGD(steps=10, step_size=2 / 255)),  # the same
}
