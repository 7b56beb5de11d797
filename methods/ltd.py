"""LTD: soft labels of a natural teacher at low temperature (Chen & Lee 2021, arXiv:2111.02331)."""

from dataclasses import dataclass
from typing import Annotated, Literal

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
class Ltd(Guided):
    """Adversarial training whose labels are a teacher's probabilities for the natural image.

    The teacher's logits are divided by a temperature, the student's never: a student that is
    trained at a high temperature and attacked at 1 has saturated logits, which hide gradients.

    Reduces to: adversarial training, or TRADES with its start, as temperature nears 0, on the
    images that the teacher gets right.

    Differs from the paper, of which the abstract was read and no code: the temperature is ours, so
    is that attacks raise what the variant's host raises, and that the teacher has the student's
    architecture and recipe. Weights are not perturbed besides (theirs, with AWP, are).
    """

    temperature: Annotated[float, Meta(gt=0)] = 1.0
    """Of the teacher's logits; under 1, labels are sharper."""
    variant: Literal["at", "trades"] = "at"
    """The host: cross-entropy of attacked images, or of natural ones beside a KL term."""
    beta: Annotated[float, Meta(ge=0)] = 6.0
    """Weight of that KL term."""

    def perturb(self, model: nn.Module, batch: Batch, run: Run) -> Tensor:
        if run.stage == "teacher":
            return batch.x
        if self.variant == "at":
            return super().perturb(model, batch, run)
        with torch.no_grad():
            clean = model(batch.x)
        return self.attack(model, batch.x, clean, run.threat, loss=kl)

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        assert isinstance(model, Taught)
        if run.stage == "teacher":
            return F.cross_entropy(model.teacher(batch.x), batch.y)
        labels = self.labels(advice(model, batch.x))
        run.note("confidence", labels.amax(1).mean())
        if self.variant == "at":
            return F.cross_entropy(model(x_adv), labels)
        clean, attacked = model(batch.x), model(x_adv)
        return F.cross_entropy(clean, labels) + self.beta * kl(attacked, clean).mean()

    def labels(self, logits: Tensor) -> Tensor:
        """Probabilities at the temperature; differences first, so that none is too low."""
        return ((logits - logits.amax(1, keepdim=True)) / self.temperature).softmax(1)

    def passes(self, stage: str) -> Passes:
        if stage == "teacher":
            return Passes(1, 1)
        host = super().passes(stage) + Passes(1, 0)  # the teacher
        return host + Passes(2, 1) if self.variant == "trades" else host


presets = {
    "*": Ltd(),  # ours
    "mnist": Ltd(attack=PGD(steps=40, step_size=0.01)),  # ours: as for adversarial training
    "cifar10": Ltd(attack=PGD(steps=10, step_size=2 / 255)),  # the same
}
