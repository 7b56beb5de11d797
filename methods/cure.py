"""CURE: a loss of little curvature (Moosavi-Dezfooli et al. 2019, arXiv:1811.09716)."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from robench.data.batches import Batch
from robench.models.passes import Passes
from robench.threat import per_image
from robench.training.method import Method, Run, Stage, crafting
from robench.training.slope import slope


@dataclass(frozen=True, kw_only=True)
class Cure(Method):
    """Cross-entropy, and how much its gradient changes on the way that its signs point.

    loss = cross-entropy(x) + weight x mean |g(x + z) - g(x)|, where g is the gradient of an image's
    loss in eval mode, z has its signs and the given length and is not trained through, and lengths
    are Euclidean. Nothing is attacked, and the radius of the threat model plays no part.

    Reduces to: natural training at weight = 0: what goes on from its start, or, with start = none,
    share = 1 and lr = none, natural training itself.

    Differs from the code (F-Salehi/CURE_robustness): its images are divided by a deviation of about
    0.2, and its lengths with them. g(x) is computed once (there: three forward passes). The length
    grows from step to step (there: from epoch to epoch, from 0.02 on). z is nothing without a
    gradient (there: a constant). But for Adam, the recipe is the shared one; there are 15 epochs.
    """

    select_on: ClassVar[Literal["natural", "robust"]] = "robust"

    start: str | None = "natural"
    """The method on whose trained cell it goes on, as in the code; or none."""
    weight: Annotated[float, Meta(ge=0)] = 0.8
    """Of the change, in [0, 1] pixel units; the code's 4 for its images."""
    length: Annotated[float, Meta(ge=0)] = 0.6
    """Of z, in [0, 1] pixel units; the code's 3 for its images."""
    ramp: Annotated[float, Meta(ge=0, le=1)] = 5 / 20
    """Share of training in which the length grows from 0; the code's example."""
    share: Annotated[float, Meta(gt=0, le=1)] = 1.0
    """Of the recipe's epochs."""
    lr: Annotated[float, Meta(gt=0)] | None = None
    """Of Adam without weight decay; none: the recipe's own optimiser."""

    def starts_from(self) -> str:
        return self.start or ""

    def stages(self) -> tuple[Stage, ...]:
        adam = {"optimizer": "adam", "lr": self.lr, "weight_decay": 0.0} if self.lr else {}
        return (Stage(share=self.share, recipe=adam),)

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        natural = F.cross_entropy(model(batch.x), batch.y)
        if not self.weight:
            return natural
        grown = min(run.progress / self.ramp, 1) if self.ramp else 1
        with crafting(model, "eval"):
            change = _change(model, batch, grown * self.length)
        run.note("change", change)
        return natural + self.weight * change

    def passes(self, stage: str) -> Passes:
        return Passes(3, 5) if self.weight else Passes(1, 1)


def _change(model: nn.Module, batch: Batch, length: float) -> Tensor:
    """Mean Euclidean length of the change of an image's gradient over a step."""
    here = slope(model, batch.x, batch.y)
    signs = here.detach().sign()
    root = signs.flatten(1).norm(dim=1).clamp_min(1)  # 0 only where all signs are
    beside = batch.x + length * signs / per_image(root, signs)
    return (slope(model, beside, batch.y) - here).flatten(1).norm(dim=1).mean()


presets = {
    "*": Cure(),  # ours: the code's weight and length, as many epochs as other methods
    "digits": Cure(weight=3),  # ours, chosen on the validation part: 0.8 leaves it little robust
    "cifar10": Cure(share=15 / 110, lr=1e-4),  # the code: 15 epochs
}
