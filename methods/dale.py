"""DALE: drawn perturbations, a bounded natural loss (Robey et al. 2021, arXiv:2110.15767)."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.langevin import Langevin
from robench.adversary.losses import Loss, kl, log_wrong
from robench.data.batches import Batch
from robench.errors import ConfigError
from robench.models.passes import Passes
from robench.training.dual import multiplier
from robench.training.method import Adversarial, Run, State


@dataclass(frozen=True, kw_only=True)
class Dale(Adversarial):
    """The robust loss of Langevin's perturbations, subject to a bound on the natural loss.

    loss = robust + dual x natural; each batch, dual rises by dual_step x (natural - bound), not
    below 0. train.csv has the dual variable, and the slack, bound - natural, of a mean batch. With
    attack.last > 1, the robust loss is the mean over those iterates.

    Reduces to: adversarial training at dual = dual_step = 0 without noise (but batch normalisation
    sees natural images, too); natural training if reverse besides; TRADES' loss over beta, and its
    attack, with robust_loss = kl, dual = 1 / beta and dual_step = 0 without noise.

    Differs from the authors' code: noise is relative, because theirs, beside the gradient of a
    batch's mean, decides nearly half of all signs by itself (attack.scale = mean is theirs); their
    KL form has noise only where several iterates are kept, which here go through the network as
    one batch. A wrapper that asks for the loss twice a batch makes two dual steps.
    """

    attack: Langevin = field(default_factory=Langevin)
    robust_loss: Literal["ce", "kl"] = "ce"
    """Cross-entropy, while the attack raises log(1 - p_y); or KL to the natural prediction, raised
    by the attack, too."""
    reverse: bool = False
    """Swap the two: the natural loss is lowered, the robust one bounded."""
    bound: Annotated[float, Meta(ge=0)] = 0.1
    """Of the natural loss, the paper's rho; the authors' margin."""
    dual: Annotated[float, Meta(ge=0)] = 1.0
    """Weight of the natural loss at the start; the authors', who take 0.1 where it is fixed."""
    dual_step: Annotated[float, Meta(ge=0)] = 1e-3
    """Of the weight's ascent, one step a batch, the authors'; 0: the weight is fixed."""

    def __post_init__(self) -> None:
        """Refuse what can learn nothing."""
        if self.robust_loss == "kl" and not (self.dual or self.dual_step or self.reverse):
            raise ConfigError("dale: robust_loss=kl needs dual or dual_step; its KL sees no label")
        if self.robust_loss == "kl" and self.attack.start == "none":
            raise ConfigError("dale: robust_loss=kl needs a random start; the KL has no slope at x")

    def init(self, model: nn.Module, run: Run) -> State:
        return {"dual": torch.tensor(self.dual)}

    def perturb(self, model: nn.Module, batch: Batch, run: Run) -> Tensor:
        """Iterate after iterate, (last x B, C, H, W)."""
        target, raised = self._target(model, batch)
        return self.attack.iterates(model, batch.x, target, run.threat, raised).flatten(0, 1)

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        clean, attacked = model(batch.x), model(x_adv)
        natural = F.cross_entropy(clean, batch.y)
        if self.robust_loss == "kl":
            robust = kl(attacked, clean.repeat(self.attack.last, 1)).mean()
        else:
            robust = F.cross_entropy(attacked, batch.y.repeat(self.attack.last))
        lowered, bounded = (natural, robust) if self.reverse else (robust, natural)
        return lowered + multiplier(run, bounded, self.bound, self.dual_step) * bounded

    def passes(self, stage: str) -> Passes:
        more = Passes(self.attack.last, self.attack.last)  # the natural images, further iterates
        return super().passes(stage) + more + Passes(int(self.robust_loss == "kl"), 0)

    def _target(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Loss]:
        if self.robust_loss == "ce":
            return batch.y, log_wrong
        with torch.no_grad():
            return model(batch.x), kl


# The authors' hparams_registry.py; their absolute noise is not taken over, see the class.
_CIFAR = Dale(attack=Langevin(steps=10, step_size=0.007))  # there eps is 0.031

presets = {
    "*": Dale(),  # ours: the authors' dual ascent, a step that follows eps
    "mnist": Dale(attack=Langevin(steps=7, step_size=0.1)),
    "cifar10": _CIFAR,
    "svhn": _CIFAR,
}
