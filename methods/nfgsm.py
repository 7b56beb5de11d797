"""N-FGSM: one step from strong noise, without a ball (de Jorge et al. 2022, arXiv:2202.01181)."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.losses import cross_entropy
from robench.adversary.pgd import ascend
from robench.data.batches import Batch
from robench.models.passes import Passes
from robench.threat import Threat
from robench.training.method import Method, Run


@dataclass(frozen=True, kw_only=True)
class Nfgsm(Method):
    """Cross-entropy after uniform noise wider than the ball and a step of eps, cut to [0, 1] only.

    So its training images lie up to (noise + length) eps away.

    Reduces to: FGSM training (Goodfellow et al. 2015) at noise = 0; FGSM-RS at noise = 1,
    length = 1.25 and clip = 1; natural training at eps = 0.

    Differs from the authors' code: examples are crafted in eval mode (theirs: in train mode);
    recipe.craft = train is theirs. The recipe is the shared one; theirs is 30 epochs of a rate that
    rises to 0.2 (SVHN: 0.05) and falls back to 0.
    """

    select_on: ClassVar[Literal["natural", "robust"]] = "robust"

    noise: Annotated[float, Meta(ge=0)] = 2.0
    """Radius of the noise over eps; the authors' k."""
    length: Annotated[float, Meta(gt=0)] = 1.0
    """Of the step, over eps; the authors'."""
    clip: Annotated[float, Meta(gt=0)] | None = None
    """Radius over eps that images are cut to after the step; none, the authors': they are not."""
    ramp: Annotated[float, Meta(ge=0, le=1)] = 0.0
    """Share of training in which noise and step grow from 0."""

    def perturb(self, model: nn.Module, batch: Batch, run: Run) -> Tensor:
        x, y, norm = batch.x, batch.y, run.threat.norm
        eps = float(run.threat.eps) * (min(run.progress / self.ramp, 1) if self.ramp else 1)
        start = Threat(norm, self.noise * eps).random_start(x) if self.noise else x
        (ball,) = self.balls(Threat(norm, eps))
        return ascend(
            model, x, start, lambda f: cross_entropy(f, y), ball, steps=1, size=self.length * eps
        )

    def balls(self, threat: Threat) -> tuple[Threat, ...]:
        reach = self.noise + self.length if self.clip is None else self.clip
        return (Threat(threat.norm, reach * threat.eps),)

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        return F.cross_entropy(model(x_adv), batch.y)

    def passes(self, stage: str) -> Passes:
        return Passes(2, 2)


presets = {
    "*": Nfgsm(),  # the authors' noise and step for every radius, relative to eps
    # Ours, chosen on digits' validation part: noise of twice such wide balls drowns an image.
    **dict.fromkeys(("digits", "mnist", "fashion-mnist", "kmnist"), Nfgsm(noise=0.5)),
    "svhn": Nfgsm(ramp=5 / 30),  # the authors' 5 epochs of 30
}
