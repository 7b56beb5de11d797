"""Data augmentation: uniform perturbations, no attack (Robey et al. 2022, arXiv:2202.01136)."""

from dataclasses import dataclass
from typing import Annotated

import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from robench.data.batches import Batch
from robench.models.passes import Passes
from robench.training.method import Method, Run


@dataclass(frozen=True, kw_only=True)
class DataAug(Method):
    """Uniform draws from the threat model, all in one batch.

    Reduces to: adversarial training with attack.steps = 0 at draws = 1; natural training at eps = 0
    and draws = 1.

    Differs from the authors' code (advbench, whose hyper-parameters are CVaR's): theirs defines the
    perturbations and forgets to add them, so it is natural training.
    """

    draws: Annotated[int, Meta(ge=1)] = 20
    """Perturbations of each image in a step; the authors'."""

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        # Not in perturb, whose images are one for each of the batch.
        x = run.threat.random_start(batch.x.repeat(self.draws, 1, 1, 1))
        return F.cross_entropy(model(x), batch.y.repeat(self.draws))

    def passes(self, stage: str) -> Passes:
        return Passes(self.draws, self.draws)


presets = {"*": DataAug()}  # the authors' draws
