"""Plugin files to begin with: they run as they are, and pass ``robench check``."""

METHOD = '''"""{title}: say what it does in a line (authors and year, where)."""

from dataclasses import dataclass
from typing import Annotated

import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from robench.data.batches import Batch
from robench.models.passes import Passes
from robench.training.method import Adversarial, Run


@dataclass(frozen=True, kw_only=True)
class {own}(Adversarial):
    """Adversarial gives it ``attack`` and PGD as ``perturb``; Method has neither.

    Reduces to: adversarial training at weight = 0, natural training at weight = 1.
    """

    weight: Annotated[float, Meta(ge=0, le=1)] = 0.5
    """Share of the unperturbed images in the loss."""

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        attacked = F.cross_entropy(model(x_adv), batch.y)
        natural = F.cross_entropy(model(batch.x), batch.y)
        return (1 - self.weight) * attacked + self.weight * natural

    def passes(self, stage: str) -> Passes:
        return super().passes(stage) + Passes(1, 1)  # for the unperturbed images


presets = {{
    "*": {own}(),  # every data set; add "cifar10": {own}(weight=...) for one
}}
'''

SUITE = '''"""{title}: say what it runs in a line (authors and year, where)."""

from torch import Tensor, nn

from robench.adversary.losses import cross_entropy
from robench.adversary.pgd import PGD, PGDAttack, ascend
from robench.adversary.suite import Suite
from robench.threat import Threat


def fgsm(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
    """One step of length eps: any function of this form is an attack."""

    def objective(logits: Tensor) -> Tensor:
        return cross_entropy(logits, y)

    return ascend(model, x, x, objective, threat, steps=1, size=threat.eps)


suite = Suite({{"fgsm": fgsm, "pgd-10": PGDAttack(pgd=PGD(steps=10))}})
'''
