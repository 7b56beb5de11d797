"""GradAlign: FGSM, with gradients aligned (Andriushchenko & Flammarion 2020, arXiv:2007.02617)."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.gradient import gradient
from robench.adversary.losses import cross_entropy
from robench.adversary.pgd import PGD
from robench.data.batches import Batch
from robench.models.passes import Passes
from robench.threat import Threat
from robench.training.method import Method, Run
from robench.training.slope import slope


@dataclass(frozen=True, kw_only=True)
class GradAlign(Method):
    """Cross-entropy after FGSM, and how far the gradients at an image and beside it point apart.

    loss = cross-entropy(x_adv) + weight x (1 - mean cosine(g, h)), where g is the gradient at the
    image, not trained through, and h that at a uniform draw from the ball. Images where one of the
    two is zero do not count in the mean.

    Reduces to: FGSM training (Goodfellow et al. 2015) at weight = 0; natural training at eps = 0
    besides.

    Differs from the authors' code: FGSM is crafted in eval mode (theirs: in train mode), so g, in
    train mode as h, is no by-product of it and costs a pass each way. Draws are cut to [0, 1].
    Without any gradient the term is constant (theirs: NaN). On SVHN theirs lets the step grow for 5
    of 15 epochs. The recipe is the shared one.
    """

    select_on: ClassVar[Literal["natural", "robust"]] = "robust"

    weight: Annotated[float, Meta(ge=0)] | None = None
    """Of the term; none: 0.02 x 10^(255 eps / 8), the authors' for CIFAR-10 in Linf, as far as the
    2 at 16/255 where theirs ends; in L2 their 0.2 for 8/255."""
    length: Annotated[float, Meta(gt=0)] = 1.25
    """Of the step, over eps, before it is cut to the ball; the authors'."""

    def perturb(self, model: nn.Module, batch: Batch, run: Run) -> Tensor:
        attack = PGD(steps=1, step_size=self.length * float(run.threat.eps), start="none")
        return attack(model, batch.x, batch.y, run.threat)

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        attacked = F.cross_entropy(model(x_adv), batch.y)
        if self.weight == 0:
            return attacked
        _, _, here = gradient(model, batch.x, cross_entropy, batch.y)
        beside = slope(model, run.threat.random_start(batch.x), batch.y)
        cosine = _mean_cosine(here, beside)
        run.note("cosine", cosine)
        return attacked + self._weight(run.threat) * (1 - cosine)

    def passes(self, stage: str) -> Passes:
        return Passes(2, 2) if self.weight == 0 else Passes(4, 5)

    def _weight(self, threat: Threat) -> float:
        if self.weight is not None:
            return self.weight
        return min(0.02 * 10 ** (255 * float(threat.eps) / 8), 2) if threat.norm == "Linf" else 0.2


def _mean_cosine(one: Tensor, other: Tensor) -> Tensor:
    """Of the pairs of which neither is zero; 0 if there is none."""
    (one, there), (other, too) = _scaled(one), _scaled(other)
    counts = there & too
    return (F.cosine_similarity(one, other) * counts).sum() / counts.sum().clamp_min(1)


def _scaled(grad: Tensor) -> tuple[Tensor, Tensor]:
    """Rows whose largest entry is 1, and which rows are not zero.

    A cosine does not depend on lengths, and the squares of a sure image's gradient underflow.
    """
    rows = grad.flatten(1)
    largest = rows.detach().abs().amax(1, keepdim=True)
    there = largest > 1e-30  # under that, what is trained through the quotient may overflow
    return rows / torch.where(there, largest, 1), there.squeeze(1)


presets = {
    "*": GradAlign(),  # the authors' scheme
    # Ours: the weight of their usual radius, 8/255. At the 2 that the scheme ends with, digits are
    # not learnt.
    **dict.fromkeys(("digits", "mnist", "fashion-mnist", "kmnist"), GradAlign(weight=0.2)),
    "svhn": GradAlign(weight=2.5),  # the authors' for 8/255
}
