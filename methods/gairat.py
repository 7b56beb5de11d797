"""GAIRAT: images that fall early weigh more (Zhang et al. 2021, arXiv:2010.01736)."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.losses import cross_entropy
from robench.adversary.pgd import PGD
from robench.data.batches import Batch
from robench.training.method import Adversarial, Run, State


@dataclass(frozen=True, kw_only=True)
class Gairat(Adversarial):
    """Cross-entropy on PGD examples, weighted by how many of the attack's iterates are right.

    With kappa right ones of the K iterates that the attack steps from, an image's weight goes as
    1 + tanh(shift + 5 (1 - 2 kappa / K)), with mean 1 over a batch: one that is never wrong hardly
    counts. A negative control for evaluations that raise the cross-entropy alone.

    Reduces to: adversarial training with warmup = 1, and, up to rounding, as shift grows.

    Differs from the authors' code: an odd K is halved exactly (theirs rounds down, and divides by
    zero at K = 1). Their other weights (sigmoid, discrete) and schedules of the shift are not
    offered. The best checkpoint is chosen on validation images (theirs: on test images).
    """

    control: ClassVar[str] = "attacks on the margin, or on scaled logits"

    shift: float = -1.0
    """The larger, the more alike the weights; the authors' Lambda."""
    warmup: Annotated[float, Meta(ge=0, le=1)] = 0.5
    """Share of training in which all images weigh the same; theirs: until epoch 60 of 120."""

    def init(self, model: nn.Module, run: Run) -> State:
        return {"kappa": torch.zeros(run.num_train)}

    def perturb(self, model: nn.Module, batch: Batch, run: Run) -> Tensor:
        kappa = torch.zeros_like(batch.y)

        def counting(logits: Tensor, y: Tensor) -> Tensor:
            kappa.add_(logits.argmax(1) == y)  # of the forward passes that the steps need anyway
            return cross_entropy(logits, y)

        x_adv = self.attack(model, batch.x, batch.y, run.threat, loss=counting)
        run.state["kappa"][batch.index] = kappa.float()
        run.note("kappa", kappa.float().mean())
        return x_adv

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        logits = model(x_adv)
        if run.progress < self.warmup:
            return F.cross_entropy(logits, batch.y)
        weights = self.weights(run.state["kappa"][batch.index])
        return (weights * cross_entropy(logits, batch.y)).mean()

    def weights(self, kappa: Tensor) -> Tensor:
        """Of a batch's images, (B,), by the number of their iterates that were right."""
        z = self.shift + 5 * (1 - 2 * kappa / max(self.attack.steps, 1))
        # (1 + tanh z) / 2 = sigmoid(2z), as a logarithm: no batch has a sum of zero.
        return len(kappa) * F.logsigmoid(2 * z).softmax(0)


presets = {
    "*": Gairat(),  # ours: the authors' weights, a step that follows eps
    "mnist": Gairat(attack=PGD(steps=40, step_size=0.01)),  # ours: as for adversarial training
    "cifar10": Gairat(attack=PGD(steps=10, step_size=0.007)),  # their GAIRAT.py (eps is 0.031)
}
