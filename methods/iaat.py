"""IAAT: a radius for each training image (Balaji et al. 2019, arXiv:1910.08051)."""

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.losses import cross_entropy
from robench.adversary.pgd import PGD, ascend
from robench.data.batches import Batch
from robench.models.passes import Passes
from robench.threat import Threat
from robench.training.method import Adversarial, Run, State


@dataclass(frozen=True, kw_only=True)
class Iaat(Adversarial):
    """An image's radius follows the largest one at which PGD leaves it right.

    Each time an image is seen, PGD tries its radius and one larger by gamma. The target is the
    larger one if the image stands there, else its own if it stands there, else one smaller by
    gamma; 0 if the image is wrong by itself. The radius moves to the target by a share beta, never
    below 0, with no upper bound. In the warm-up it is eps, or 0 for an image that is wrong.

    Reduces to: adversarial training with gamma = 0, or beta = 0 after the warm-up, on the images
    that are right; natural training with beta = 0 and warmup = 0.

    Differs from the authors' code: radii are judged, and examples crafted, in eval mode. Theirs
    stays in train mode, so that three attacks a batch move the batch statistics, and radii depend
    on who else is in the batch; recipe.craft = train is theirs. The radii go on from where they
    were when training is resumed (theirs skips an epoch).
    """

    gamma: Annotated[float, Meta(ge=0)] | None = None
    """How much larger a radius is tried; none: 1.9/8 of eps, the authors' 1.9/255 for 8/255."""
    beta: Annotated[float, Meta(ge=0, le=1)] = 0.1
    """Share of the way to its target that a radius goes each time."""
    warmup: Annotated[float, Meta(ge=0, le=1)] = 10 / 110
    """Share of training in which right images have radius eps; the authors' 10 epochs of 110."""

    def init(self, model: nn.Module, run: Run) -> State:
        return {"radius": torch.zeros(run.num_train)}

    def perturb(self, model: nn.Module, batch: Batch, run: Run) -> Tensor:
        memory = run.state["radius"]
        with torch.no_grad():
            right = model(batch.x).argmax(1) == batch.y
        if run.progress < self.warmup:
            radius = float(run.threat.eps) * right
        else:
            radius = self._moved(model, batch, run, memory[batch.index], right)
        memory[batch.index] = radius
        for percent in (10, 50, 90):
            run.log[f"radius/{percent} %"] = memory.quantile(percent / 100)
        return self._attacked(model, batch, run, radius)

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        return F.cross_entropy(model(x_adv), batch.y)

    def passes(self, stage: str) -> Passes:
        steps = self.attack.steps  # of three attacks; two of them are looked at
        return Passes(3 * steps + 4, 3 * steps + 1)

    def _moved(
        self, model: nn.Module, batch: Batch, run: Run, radius: Tensor, right: Tensor
    ) -> Tensor:
        gamma = run.threat.eps * 1.9 / 8 if self.gamma is None else self.gamma
        now, higher = (self._stands(model, batch, run, tried) for tried in (radius, radius + gamma))
        target = torch.where(now, radius, radius - gamma)
        target = torch.where(higher, radius + gamma, target)  # even if it falls at its own radius
        target = (target * right).clamp_min(0)
        return radius + self.beta * (target - radius)

    def _stands(self, model: nn.Module, batch: Batch, run: Run, radius: Tensor) -> Tensor:
        x_adv = self._attacked(model, batch, run, radius)
        with torch.no_grad():
            return model(x_adv).argmax(1) == batch.y

    def _attacked(self, model: nn.Module, batch: Batch, run: Run, radius: Tensor) -> Tensor:
        """PGD whose steps follow the radius: twice its share, and not under a quarter of eps."""
        size = (2 * radius / max(self.attack.steps, 1)).clamp_min(float(run.threat.eps) / 4)
        threat = Threat(run.threat.norm, radius)
        return ascend(
            model,
            batch.x,
            self.attack.begin(batch.x, threat),
            lambda logits: cross_entropy(logits, batch.y),
            threat,
            steps=self.attack.steps,
            size=size if self.attack.step_size is None else self.attack.step_size,
        )


presets = {
    "*": Iaat(),  # the authors' CIFAR-10 values, relative to eps
    # Ours: as many turns of the radii in 24 epochs as in the authors' 110.
    "digits": Iaat(beta=0.5),
    "mnist": Iaat(),
    # The authors' config for CIFAR-10; CIFAR-100 has their data set's class and no config.
    "cifar10": Iaat(gamma=1.9 / 255, attack=PGD(steps=10)),
    "cifar100": Iaat(gamma=1.9 / 255, attack=PGD(steps=10)),
}
