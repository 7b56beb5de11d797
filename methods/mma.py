"""MMA: cross-entropy where an image's margin ends (Ding et al. 2020, openreview:HkeryxBtPB)."""

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.losses import cross_entropy, log_wrong
from robench.adversary.pgd import PGD
from robench.data.batches import Batch
from robench.models.passes import Passes
from robench.threat import Threat, per_image
from robench.training.method import Adversarial, Run, State


@dataclass(frozen=True, kw_only=True)
class Mma(Adversarial):
    """Right images move to where their margin ends, wrong ones stay; both with cross-entropy.

    The margin ends where an image's class has half of the probability: at a soft margin of zero.
    PGD on the soft margin, at the radius that was found when the image was last seen, gives a
    direction; bisection along it gives the new radius. Beyond d_max an image does not count. The
    rest of the loss is on natural images.

    Reduces to: natural training at natural_share = 1; with natural_share = 0, least = 1, d_max of 1
    or more and bisections = 0, adversarial training on the images that are right, up to rounding.

    Differs from the authors' code: who is right is asked, and the boundary sought, in the mode in
    which examples are crafted (theirs: in train mode, so that the search moves the batch
    statistics). Points on the boundary are cut to [0, 1]. d_max and least follow the grid's eps.
    The best checkpoint is that of the best robust accuracy (theirs: of the largest mean radius).
    """

    natural_share: Annotated[float, Meta(ge=0, le=1)] = 1 / 3
    """Share of the cross-entropy of natural images; the authors'. 0 is their OMMA."""
    d_max: Annotated[float, Meta(gt=0)] = 1.5
    """Radius, in eps, beyond which an image no longer counts."""
    least: Annotated[float, Meta(gt=0)] = 0.159375
    """Least radius, in eps, at which PGD runs; the authors' 0.005 for 8/255."""
    bisections: Annotated[int, Meta(ge=0)] = 10
    """Halvings on the way to the boundary; the authors'. 0: the radius stays."""

    def init(self, model: nn.Module, run: Run) -> State:
        return {"radius": torch.zeros(run.num_train)}

    def balls(self, threat: Threat) -> tuple[Threat, ...]:
        return (Threat(threat.norm, self._reach(threat)),)

    def perturb(self, model: nn.Module, batch: Batch, run: Run) -> Tensor:
        if self.natural_share == 1:
            return batch.x
        memory, threat, x_adv = run.state["radius"], run.threat, batch.x.clone()
        with torch.no_grad():
            right = (_soft_margin(model(batch.x), batch.y) < 0).nonzero().squeeze(1)
        radius = torch.zeros_like(memory[batch.index])
        if len(right):
            least = self.least * float(threat.eps)
            known = memory[batch.index[right]].clamp(least, self._reach(threat))
            x_adv[right], radius[right] = self._edge(
                model, batch.x[right], batch.y[right], known, threat
            )
        memory[batch.index] = radius
        for percent in (10, 50, 90):
            run.log[f"radius/{percent} %"] = memory.quantile(percent / 100)
        return x_adv

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        share = self.natural_share
        natural = F.cross_entropy(model(batch.x), batch.y) if share else torch.zeros(())
        if share == 1:
            return natural
        near = run.state["radius"][batch.index] <= self.d_max * run.threat.eps
        losses = near * cross_entropy(model(x_adv), batch.y)
        return share * natural + (1 - share) * losses.mean()

    def passes(self, stage: str) -> Passes:
        natural = Passes(1, 1) if self.natural_share else Passes()
        if self.natural_share == 1:
            return natural
        search = Passes(1 + self.bisections, 0)  # who is right; how far
        return super().passes(stage) + search + natural

    def _reach(self, threat: Threat) -> float:
        """Where the search ends: just beyond d_max, so that it shows who is further; theirs."""
        return 1.05 * self.d_max * float(threat.eps)

    def _edge(
        self, model: nn.Module, x: Tensor, y: Tensor, radius: Tensor, threat: Threat
    ) -> tuple[Tensor, Tensor]:
        """Where the margin ends on the way that PGD found at a radius, and how far that is."""
        ball = Threat(threat.norm, radius)
        way = self.attack(model, x, y, ball, loss=_soft_margin) - x
        way = way / per_image(radius, x).clamp_min(1e-12)  # eps may be 0

        def at(radius: Tensor) -> Tensor:
            return Threat(threat.norm, radius).project(x + per_image(radius, x) * way, x)

        low, high = torch.zeros_like(radius), torch.full_like(radius, self._reach(threat))
        for _ in range(self.bisections):
            with torch.no_grad():
                stands = _soft_margin(model(at(radius)), y) < 0
            low, high = torch.where(stands, radius, low), torch.where(stands, high, radius)
            radius = (low + high) / 2
        return at(radius), radius


def _soft_margin(logits: Tensor, y: Tensor) -> Tensor:
    """Logarithm of the odds of a wrong answer: wrong logits' logsumexp minus the true one."""
    return log_wrong(logits, y) + cross_entropy(logits, y)


presets = {
    # Ours: of the authors' radii, the one that is 1.5 eps on CIFAR-10 (12/255) and MNIST (0.45).
    "*": Mma(),
    "mnist": Mma(least=1 / 3, attack=PGD(steps=40)),  # the authors' config.py (0.1 for 0.3)
    "cifar10": Mma(d_max=4.0),  # 32/255, their README's example for 8/255
}
