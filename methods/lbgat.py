"""LBGAT: attacked logits follow a natural network's (Cui et al. 2021, arXiv:2011.11164)."""

from dataclasses import dataclass, field
from typing import Annotated

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.losses import kl
from robench.adversary.pgd import PGD
from robench.data.batches import Batch
from robench.models.passes import Passes
from robench.models.taught import Taught
from robench.training.guided import Guided
from robench.training.method import Run, Stage


@dataclass(frozen=True, kw_only=True)
class Lbgat(Guided):
    """The student's logits of attacked images are drawn to a teacher's of natural ones.

    Both are trained at once: the teacher on labels, which only it sees, and towards the student.
    The KL of TRADES may be added.

    Reduces to: TRADES if the teacher is the student, but for the squared distance; natural
    training of the teacher if it is let alone.

    Differs from the authors' code: the teacher has the student's architecture (theirs: a ResNet-18
    beside a WideResNet).
    """

    attack: PGD = field(default_factory=lambda: PGD(start="gaussian"))
    """Of the student, raises the KL, as in TRADES; at beta = 0, too."""
    beta: Annotated[float, Meta(ge=0)] = 0.0
    """Weight of the KL term; the authors' for CIFAR-10, who have 6 besides for CIFAR-100."""

    def stages(self) -> tuple[Stage, ...]:
        return (Stage(),)

    def perturb(self, model: nn.Module, batch: Batch, run: Run) -> Tensor:
        with torch.no_grad():
            clean = model(batch.x)
        return self.attack(model, batch.x, clean, run.threat, loss=kl)

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        assert isinstance(model, Taught)
        clean, attacked, taught = model(batch.x), model(x_adv), model.teacher(batch.x)
        natural, apart = F.cross_entropy(taught, batch.y), F.mse_loss(attacked, taught)
        run.note("teacher", natural)
        run.note("distance", apart)
        return apart + natural + self.beta * kl(attacked, clean).mean()

    def passes(self, stage: str) -> Passes:
        trades = super().passes(stage) + Passes(2, 1)
        return trades + Passes(1, 1)  # the teacher


presets = {
    "*": Lbgat(),  # ours: the authors' CIFAR-10 beta, a step that follows eps
    "mnist": Lbgat(attack=PGD(steps=40, step_size=0.01, start="gaussian")),  # ours: TRADES' attack
    # The authors' train_lbgat_cifar100.py (there eps is 0.031); their README has CIFAR-10's beta.
    "cifar10": Lbgat(attack=PGD(steps=10, step_size=0.007, start="gaussian")),
    "cifar100": Lbgat(beta=6.0, attack=PGD(steps=10, step_size=0.007, start="gaussian")),
}
