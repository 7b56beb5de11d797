"""Minmax: weights on Linf, L2 and L1 follow their losses (Wang et al. 2021, arXiv:1906.03563)."""

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary import simplex
from robench.adversary.pgd import PGD
from robench.data.batches import Batch
from robench.data.catalogue import DATASETS
from robench.models.passes import Passes
from robench.training.method import Run, State
from robench.training.several import Several, at_radii_of


@dataclass(frozen=True, kw_only=True)
class Minmax(Several):
    """The weighted mean of the cross-entropies on PGD examples of several balls.

    min over weights of the network, max over w on the simplex, of
    sum w_i loss_i - gamma / 2 x |w - 1 / m|^2. Each batch moves w by one step of ascent, and is
    then weighed by it; train.csv has the weights at the end of each epoch.

    The grid's own ball is one of them: the radius of its norm is the grid's. Robust accuracy in it
    alone chooses the best checkpoint.

    Reduces to: adversarial training in a norm, with that norm alone; multinorm's avg at
    weight_step = 0, or as gamma grows with weight_step x gamma at 1 or less; at gamma = 0 and a
    long step, the norm of highest loss in the batch, which is multinorm's max in batches of one.

    Differs from the authors' code: theirs crafts attacks and trains nothing; weight_step and gamma
    are those of its attack on several models, and all else of training is ours.
    """

    weight_step: Annotated[float, Meta(ge=0)] = 1 / 40
    """Of the weights' ascent; the authors' 1 / beta."""
    gamma: Annotated[float, Meta(ge=0)] = 3.0
    """Pull towards even weights."""

    def __post_init__(self) -> None:
        """Refuse weights that swing."""
        super().__post_init__()
        simplex.check_step("minmax", self.weight_step, self.gamma)

    def init(self, model: nn.Module, run: Run) -> State:
        return {"weights": torch.full((len(self.norms),), 1 / len(self.norms))}

    def perturb(self, model: nn.Module, batch: Batch, run: Run) -> Tensor:
        return torch.cat(self.crafted(model, batch, self.balls(run.threat)))

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        norms = len(self.norms)
        each = F.cross_entropy(model(x_adv), batch.y.repeat(norms), reduction="none")
        losses = each.view(norms, -1).mean(1)
        weights = simplex.moved(run.state["weights"], losses.detach(), self.weight_step, self.gamma)
        run.state["weights"] = weights
        run.log |= {f"weight/{norm}": weights[k] for k, norm in enumerate(self.norms)}
        return weights @ losses

    def passes(self, stage: str) -> Passes:
        every = sum(self.steps()) + len(self.norms)
        return Passes(every, every)


presets = {
    "*": Minmax(),  # ours: the radii of digits, and ten steps that follow them
    **{name: Minmax(**at_radii_of(name)) for name in DATASETS},  # ours: the same
    "mnist": Minmax(**at_radii_of("mnist", linf=PGD(steps=40, step_size=0.01))),  # as madry's
    "cifar10": Minmax(**at_radii_of("cifar10", linf=PGD(steps=10, step_size=2 / 255))),  # the same
}
