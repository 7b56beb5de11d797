"""Sensible: attacks stop before the loss passes a cut (Kim & Wang 2022, arXiv:2205.10457)."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.losses import Loss, cross_entropy, kl
from robench.adversary.pgd import PGD
from robench.data.batches import Batch
from robench.errors import ConfigError
from robench.models.passes import Passes
from robench.training.method import Adversarial, Run


@dataclass(frozen=True, kw_only=True)
class Sensible(Adversarial):
    """An image whose loss would pass -log(cut) keeps its last sensible perturbation.

    Three cases: wrong or past the cut at its start, it stays there; never past it, the full attack;
    otherwise the step that passed the cut is undone.

    Reduces to: natural training at cut = 1; adversarial training, on the images that are right at
    their start, with warmup = 1 or as cut nears 0. Just under 1 it is not natural training:
    the random starts stay.

    Differs from the authors' code: gradients of parameters are not switched on again behind the
    caller's back, and a step is undone by the images kept of it, not by subtracting it (rounding).
    An image that is past the cut at its random start stays at that start, as in their code; their
    comments speak of the natural image, which attack.start = none gives.
    """

    cut: Annotated[float, Meta(gt=0, le=1)] = 0.5
    """Least probability of the true class that an attack may leave; the paper's c."""
    warmup: Annotated[float, Meta(ge=0, le=1)] = 10 / 300
    """Share of training in which attacks run to the end; the authors' 10 epochs of 300."""
    natural_weight: Annotated[float, Meta(ge=0)] = 0.0
    """Weight of the cross-entropy of unperturbed images."""
    variant: Literal["at", "trades"] = "at"
    """What is attacked and lowered: the cross-entropy, or the KL to the natural prediction."""

    def __post_init__(self) -> None:
        """Refuse what can learn nothing."""
        if self.variant == "trades" and not self.natural_weight:
            raise ConfigError(
                "sensible: variant=trades needs natural_weight > 0; its KL term sees no label"
            )

    def perturb(self, model: nn.Module, batch: Batch, run: Run) -> Tensor:
        if self.cut == 1 or self.attack.steps == 0:
            return batch.x
        adaptive = run.progress >= self.warmup
        limit = -math.log(self.cut)
        stopped = [torch.zeros_like(batch.y, dtype=torch.bool)] * 2  # at the start; by now

        def passes(logits: Tensor, losses: Tensor, step: int) -> Tensor:
            if step == 0:  # where it starts: judged by label and cross-entropy, in both variants
                start = cross_entropy(logits, batch.y)
                stopped[:] = [(logits.argmax(1) != batch.y) | (start > limit)] * 2
            elif adaptive:
                stopped[1] = stopped[1] | (losses > limit)
            return stopped[1]

        target, loss = self._target(model, batch)
        x_adv = self.attack(model, batch.x, target, run.threat, loss, halt=passes, undo=True)
        natural, any_way = (mask.float().mean() for mask in stopped)
        run.note("case/natural", natural)
        run.note("case/adaptive", any_way - natural)
        run.note("case/full", 1 - any_way)
        return x_adv

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        if self.variant == "at" and not self.natural_weight:
            return F.cross_entropy(model(x_adv), batch.y)
        clean, attacked = model(batch.x), model(x_adv)
        sensible = cross_entropy(attacked, batch.y) if self.variant == "at" else kl(attacked, clean)
        return sensible.mean() + self.natural_weight * F.cross_entropy(clean, batch.y)

    def passes(self, stage: str) -> Passes:
        more = Passes(1, 0)  # a look at the last step
        if self.natural_weight:
            more += Passes(1, 1)
        return super().passes(stage) + more + Passes(int(self.variant == "trades"), 0)

    def _target(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Loss]:
        if self.variant == "at":
            return batch.y, cross_entropy
        with torch.no_grad():
            return model(batch.x), kl


_STEPS = PGD(steps=10, step_size=1.5 / 255)  # CIFAR-10: the authors' SENSE.py

presets = {
    "*": Sensible(),  # ours: the authors' cut, a step that follows eps
    "mnist": Sensible(attack=PGD(steps=40, step_size=0.01)),  # ours: TRADES' attack
    "cifar10": Sensible(attack=_STEPS),
    # Their study of small networks; the tiny ones of the appendix also with cuts 0.1 and 0.7.
    **{
        f"cifar10/resnet{depth}": Sensible(cut=0.7, warmup=5 / 300, attack=_STEPS)
        for depth in (20, 32, 44, 56)
    },
    "cifar10/lenet": Sensible(warmup=5 / 150, attack=_STEPS),
    "cifar10/lenet-small": Sensible(warmup=5 / 150, attack=_STEPS),
}
