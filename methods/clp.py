"""CLP: clean logit pairing, a negative control (Kannan et al. 2018, arXiv:1803.06373)."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.pgd import PGD
from robench.data.batches import Batch
from robench.models.passes import Passes
from robench.training.method import Method, Run


@dataclass(frozen=True, kw_only=True)
class Clp(Method):
    """Cross-entropy, and the distance between the logits of two images, whatever their classes.

    With noise, all images are noisy, and the first half of a batch is paired with the second; the
    mean squared difference counts. With pgd, advbench's variant, a natural image is paired with
    itself under attack; the L2 distance counts, not squared. Its slope does not fade as logits
    meet, so at a large radius it can hold them all together, and one answer is given to all images.

    Reduces to: natural training on noisy images at weight = 0, on natural ones if sigma = 0
    besides; with pair = pgd to natural training at weight = 0, but for batch normalisation, whose
    statistics see attacked images, too.

    Differs from the code of uds-lsv/evaluating-logit-pairing-methods, which measured what is left
    of it: the pairs' logits are those of the cross-entropy, not of a second and third pass. From
    advbench's, with pair = pgd: nothing known but the shared recipe.
    """

    control: ClassVar[str] = "PGD with many steps, or on the margin; AutoAttack"

    pair: Literal["noise", "pgd"] = "noise"
    """Two noisy images, as in the paper; or a natural and an attacked one, as in advbench."""
    weight: Annotated[float, Meta(ge=0)] | None = None
    """Of the distance; none: with noise 0.5, uds-lsv's for squeezing, with pgd advbench's 1."""
    sigma: Annotated[float, Meta(ge=0)] = 0.5
    """Standard deviation of the noise in [0, 1] pixel units, then cut to [0, 1]; uds-lsv's."""
    attack: PGD = field(default_factory=lambda: PGD(start="none"))
    """Of the pgd pairs; from the image itself, as in advbench."""

    @property
    def select_on(self) -> Literal["natural", "robust"]:
        """Only pgd pairs look at attacked images."""
        return "robust" if self.pair == "pgd" else "natural"

    def perturb(self, model: nn.Module, batch: Batch, run: Run) -> Tensor:
        if self.pair == "noise":
            return batch.x
        return self.attack(model, batch.x, batch.y, run.threat)

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        if self.pair == "pgd":
            logits = model(batch.x)
            distance = (logits - model(x_adv)).norm(dim=1).mean()
            weight = 1.0 if self.weight is None else self.weight
        else:
            # Here, not in perturb: noise knows no ball.
            logits = model((batch.x + self.sigma * torch.randn_like(batch.x)).clamp(0, 1))
            half = len(logits) // 2
            gap = logits[:half] - logits[half : 2 * half]
            distance = gap.square().sum() / max(gap.numel(), 1)  # a single image has no pair
            weight = 0.5 if self.weight is None else self.weight
        run.note("distance", distance)
        return F.cross_entropy(logits, batch.y) + weight * distance

    def passes(self, stage: str) -> Passes:
        pairs = self.attack.steps + 2 if self.pair == "pgd" else 1
        return Passes(pairs, pairs)


presets = {
    "*": Clp(sigma=0.1),  # ours: noise that leaves small images readable
    "mnist": Clp(attack=PGD(steps=7, step_size=0.1, start="none")),  # uds-lsv's noise; advbench's
    # The noise is ours; advbench's attack (there eps is 0.031).
    "cifar10": Clp(sigma=0.1, attack=PGD(steps=10, step_size=0.007, start="none")),
}
