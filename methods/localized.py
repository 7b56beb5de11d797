"""Localized: adversarial training whose attack stays in the background (Rothberg et al. 2019)."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from robench.adversary.background import Kind, Share, ascend_behind, background
from robench.adversary.pgd import PGD
from robench.data.batches import Batch
from robench.models.passes import Passes
from robench.training.method import Adversarial, Run


@dataclass(frozen=True, kw_only=True)
class Localized(Adversarial):
    """Cross-entropy on natural and on locally perturbed images, in equal parts.

    PGD's gradient, and its start, are 0 where an image is no background, so that only the
    background is perturbed, inside the grid's ball (arXiv:1909.04779).

    Reduces to: natural training where nothing is background (mask = border, crop = 1), but for
    batch normalisation, whose statistics see each batch twice; logit pairing with weight 0 and half
    of natural images (alp) where everything is (crop = 0).

    Differs from the paper: what its authors take as background was not found stated. Here it is
    dark pixels, or all outside a centre crop, which knows nothing of the object.
    """

    mask: Kind = "border"
    """What is background: dark pixels, or all outside a centre crop."""
    threshold: Share = 0.0
    """Largest value of a dark pixel."""
    crop: Share = 0.5
    """Sides of the centre crop, as a share of the image's."""

    def perturb(self, model: nn.Module, batch: Batch, run: Run) -> Tensor:
        mask = background(batch.x, self.mask, self.threshold, self.crop)
        run.note("background", mask.float().mean())
        return ascend_behind(self.attack, model, batch.x, batch.y, run.threat, mask)

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        natural = F.cross_entropy(model(batch.x), batch.y)
        localized = F.cross_entropy(model(x_adv), batch.y)
        return 0.5 * natural + 0.5 * localized

    def passes(self, stage: str) -> Passes:
        return super().passes(stage) + Passes(1, 1)  # the natural images


presets = {
    "*": Localized(),  # ours: half of each side in the middle is foreground
    # Ours: black is background where everything is drawn on black.
    **{name: Localized(mask="dark") for name in ("digits", "fashion-mnist", "kmnist")},
    "mnist": Localized(mask="dark", attack=PGD(steps=40, step_size=0.01)),  # madry's attack
    "cifar10": Localized(attack=PGD(steps=10, step_size=2 / 255)),  # the same
}
