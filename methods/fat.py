"""FAT: attacks stop soon after an image is wrong (Zhang et al. 2020, arXiv:2002.11242)."""

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.losses import cross_entropy
from robench.adversary.pgd import PGD, ascend
from robench.data.batches import Batch
from robench.threat import Threat
from robench.training.method import Adversarial, Run


@dataclass(frozen=True, kw_only=True)
class Fat(Adversarial):
    """Cross-entropy on friendly examples: an image stays at its (tau + 1)th wrong iterate.

    So it stops tau steps after its first mistake, later only if it was right again in between. tau
    grows by one at some shares of training. Images that have stopped cost no further passes.

    Reduces to: adversarial training from the same start with tau >= attack.steps and noise = 0;
    natural training with attack.steps = 0 and attack.start = none.

    Differs from the authors' code: no natural images are passed (theirs are for its TRADES and MART
    variants, which are not offered). Noise, like theirs, is in pixel units in every norm. With
    recipe.craft = train, the batch statistics are those of the images that go on.
    """

    tau: Annotated[int, Meta(ge=0)] = 0
    """Steps that an image makes although it is wrong, at first."""
    grows: tuple[Annotated[float, Meta(ge=0, le=1)], ...] = (50 / 120, 90 / 120)
    """Shares of training after which tau is one larger; the authors' 50 and 90 epochs of 120."""
    noise: Annotated[float, Meta(ge=0)] = 0.001
    """Standard deviation of what is added to each step, in [0, 1] pixel units; their omega."""

    def perturb(self, model: nn.Module, batch: Batch, run: Run) -> Tensor:
        x_adv = self.attack.begin(batch.x, run.threat)
        tau = self.tau + sum(run.progress >= share for share in self.grows)
        patience, made = torch.full_like(batch.y, tau), 0
        going = torch.arange(len(batch.y), device=batch.y.device)
        for _ in range(self.attack.steps):
            x, y = batch.x[going], batch.y[going]
            moved, wrong = self._moved(model, x, y, x_adv[going], run.threat)
            goes_on = ~wrong | (patience[going] > 0)
            patience[going] -= wrong.long()
            going = going[goes_on]
            if not len(going):
                break
            x_adv[going] = moved[goes_on]
            made += len(going)
        run.note("steps", torch.tensor(made / len(batch.y)))
        return x_adv

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        return F.cross_entropy(model(x_adv), batch.y)

    def _moved(
        self, model: nn.Module, x: Tensor, y: Tensor, x_adv: Tensor, threat: Threat
    ) -> tuple[Tensor, Tensor]:
        """Images one step on, and which were wrong before it: both of the same forward pass."""
        wrong = torch.zeros_like(y, dtype=torch.bool)

        def objective(logits: Tensor) -> Tensor:
            wrong.logical_or_(logits.argmax(1) != y)
            return cross_entropy(logits, y)

        def noisy(grad: Tensor, size: Tensor) -> Tensor:
            return size * threat.direction(grad) + self.noise * torch.randn_like(grad)

        move = noisy if self.noise else None
        size = self.attack.size(threat)
        return ascend(model, x, x_adv, objective, threat, steps=1, size=size, move=move), wrong


presets = {
    "*": Fat(),  # ours: the authors' tau and noise, a step that follows eps
    "mnist": Fat(attack=PGD(steps=40, step_size=0.01)),  # ours: as for adversarial training
    "cifar10": Fat(attack=PGD(steps=10, step_size=0.007)),  # the authors' FAT.py (eps is 0.031)
}
