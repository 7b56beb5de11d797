"""Interpolated: mixup of images and of attacked ones (Lamb et al. 2019, arXiv:1906.06784)."""

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
class Interpolated(Adversarial):
    """Half mixup of natural images, half mixup of PGD examples, each with a draw of its own.

    A batch is mixed with a permutation of itself, a share lambda of the one with the rest of the
    other, and the cross-entropies with both labels are mixed as the images are.

    Reduces to: mixup training, on two mixtures of a batch, at eps = 0; training on natural and
    adversarial images in halves at alpha = none.

    Differs from the paper: its variant that mixes hidden features is not offered. The authors' code
    was not at hand; an unofficial one (ndb796) attacks in train mode, which recipe.craft = train
    does.
    """

    alpha: Annotated[float, Meta(ge=0.01)] | None = 1.0
    """Lambda is drawn from Beta(alpha, alpha), once a mixture; none: nothing is mixed."""

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        return (self._mixed(model, batch.x, batch.y) + self._mixed(model, x_adv, batch.y)) / 2

    def passes(self, stage: str) -> Passes:
        return super().passes(stage) + Passes(1, 1)  # the natural images

    def _mixed(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Cross-entropy of mixed images with their mixed labels."""
        if self.alpha is None:
            return F.cross_entropy(model(x), y)
        share = torch.distributions.Beta(self.alpha, self.alpha).sample()  # of the whole batch
        other = torch.randperm(len(y), device=y.device)
        logits = model(share * x + (1 - share) * x[other])
        mine, others = F.cross_entropy(logits, y), F.cross_entropy(logits, y[other])
        return share * mine + (1 - share) * others


presets = {
    "*": Interpolated(),  # ours: an unofficial code's alpha, a step that follows eps
    "mnist": Interpolated(attack=PGD(steps=40, step_size=0.01)),  # ours: as adversarial training
    "cifar10": Interpolated(attack=PGD(steps=7, step_size=2 / 255)),  # that code's, to two digits
}
