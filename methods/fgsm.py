"""FGSM-RS: fast adversarial training, one step from noise (Wong et al. 2020, arXiv:2001.03994)."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.pgd import PGD
from robench.data.batches import Batch
from robench.models.passes import Passes
from robench.training.method import Method, Run


@dataclass(frozen=True, kw_only=True)
class Fgsm(Method):
    """Cross-entropy after one step that is longer than eps, from a uniform start in the ball.

    Reduces to: adversarial training with attack.steps = 1 and attack.step_size = 1.25 eps; FGSM
    training (Goodfellow et al. 2015) with start = none and length = 1; natural training at eps = 0.

    Differs from the authors' code: examples are crafted in eval mode (theirs: in train mode);
    recipe.craft = train is theirs. No early stop where robust accuracy falls, which theirs has as
    an option. The recipe is the shared one; theirs is 15 epochs of a rate that rises to 0.2 for
    half of them and falls back to 0.
    """

    select_on: ClassVar[Literal["natural", "robust"]] = "robust"

    length: Annotated[float, Meta(gt=0)] = 1.25
    """Of the step, over eps; the authors' 10/255 for 8/255."""
    start: Literal["uniform", "none"] = "uniform"
    """Uniform in the ball; the image itself."""

    def perturb(self, model: nn.Module, batch: Batch, run: Run) -> Tensor:
        attack = PGD(steps=1, step_size=self.length * float(run.threat.eps), start=self.start)
        return attack(model, batch.x, batch.y, run.threat)

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        return F.cross_entropy(model(x_adv), batch.y)

    def passes(self, stage: str) -> Passes:
        return Passes(2, 2)


presets = {"*": Fgsm()}  # the authors' step, relative to eps
