"""HAT: a natural network labels far helper images (Rade & Moosavi 2021, openreview:BuD2LmNaU3a)."""

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
from robench.training.guided import Guided, advice
from robench.training.method import Run


@dataclass(frozen=True, kw_only=True)
class Hat(Guided):
    """TRADES, and beyond each attacked image a helper with the label that the image seems to have.

    That label is the prediction of a naturally trained teacher for the attacked image; it keeps
    the margin from growing further than the attack reaches. Helpers may leave [0, 1].

    Reduces to: TRADES at gamma = 0, beside a teacher that is trained for nothing.

    Differs from the authors' code: the teacher has the student's recipe, augmentation and number of
    epochs, and is as it was after the last one (theirs: a run of its own, and its best weights).
    Their second form, on the cross-entropy of PGD examples, is left out.
    """

    attack: PGD = field(default_factory=lambda: PGD(start="gaussian"))
    beta: Annotated[float, Meta(ge=0)] = 2.5
    """Weight of the KL term; the authors'."""
    gamma: Annotated[float, Meta(ge=0)] = 0.5
    """Weight of the helpers' cross-entropy; the authors'."""
    h: Annotated[float, Meta(ge=0)] = 2.0
    """Length of a helper's perturbation, in those of the attacked image; the authors'."""

    def perturb(self, model: nn.Module, batch: Batch, run: Run) -> Tensor:
        if run.stage == "teacher":
            return batch.x
        with torch.no_grad():
            clean = model(batch.x)
        return self.attack(model, batch.x, clean, run.threat, loss=kl)

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        assert isinstance(model, Taught)
        if run.stage == "teacher":
            return F.cross_entropy(model.teacher(batch.x), batch.y)
        clean, attacked = model(batch.x), model(x_adv)
        total = F.cross_entropy(clean, batch.y) + self.beta * kl(attacked, clean).mean()
        if not self.gamma:
            return total
        helper, seems = batch.x + self.h * (x_adv - batch.x), advice(model, x_adv).argmax(1)
        run.note("fooled", (seems != batch.y).float().mean())
        return total + self.gamma * F.cross_entropy(model(helper), seems)

    def passes(self, stage: str) -> Passes:
        if stage == "teacher":
            return Passes(1, 1)
        trades = super().passes(stage) + Passes(2, 1)
        return trades + Passes(2, 1) if self.gamma else trades  # the helper, and its label


presets = {
    "*": Hat(),  # ours: the authors' weights, a step that follows eps
    "mnist": Hat(attack=PGD(steps=40, step_size=0.01, start="gaussian")),  # ours: TRADES' attack
    # The authors' README and parser.
    "cifar10": Hat(attack=PGD(steps=10, step_size=2 / 255, start="gaussian")),
}
