"""CVaR: the mean loss of the worst random perturbations (Robey et al. 2022, arXiv:2202.01136)."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from robench.data.batches import Batch
from robench.models.passes import Passes
from robench.training.dual import multiplier
from robench.training.method import Method, Run, State


@dataclass(frozen=True, kw_only=True)
class CVaR(Method):
    """Of each image's uniform draws from the threat model, the worst share counts.

    For one image: min over t of  t + mean(max(0, loss - t)) / beta,  the conditional value at risk
    of its losses. With a dual step or a dual variable, as DALE: plus dual x the mean over all
    draws, and dual rises by dual_step x (that mean - bound) a batch, not below 0.

    Reduces to: the mean over draws (data augmentation) at beta = 1; the worst draw of each image at
    beta up to 1 / draws; natural training at eps = 0.

    Differs from the authors' code: t is the exact minimiser for the draws at hand, which needs one
    set of draws. They take gradient steps from t = 1, each on new draws, and divide them by the
    batch size, so t stays near 1 and the loss is a hinge there; search = 5 does so on one set.
    """

    beta: Annotated[float, Meta(gt=0, le=1)] = 0.5
    """Share of the draws that counts; the authors'."""
    draws: Annotated[int, Meta(ge=1)] = 20
    """Perturbations of each image in a step; the authors'."""
    search: Annotated[int, Meta(ge=0)] = 0
    """Gradient steps to t, the authors' 5; 0: the exact one."""
    search_size: Annotated[float, Meta(gt=0)] = 1.0
    """Length of such a step, over the batch size; the authors'."""
    bound: Annotated[float, Meta(ge=0)] = 0.1
    """Of the mean loss; the authors' margin."""
    dual: Annotated[float, Meta(ge=0)] = 0.0
    """Weight of the mean loss at the start; the authors' primal-dual form begins at 1."""
    dual_step: Annotated[float, Meta(ge=0)] = 0.0
    """Of the weight's ascent, one step a batch; the authors' primal-dual form: 0.001."""

    def init(self, model: nn.Module, run: Run) -> State:
        return {"dual": torch.tensor(self.dual)}

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        # Drawn here, not in perturb, whose images are one for each of the batch.
        x = run.threat.random_start(batch.x.repeat(self.draws, 1, 1, 1))
        losses = F.cross_entropy(model(x), batch.y.repeat(self.draws), reduction="none")
        losses = losses.view(self.draws, -1)
        t, mean = self.threshold(losses), losses.mean()
        dual = multiplier(run, mean, self.bound, self.dual_step)
        return (t + (losses - t).relu().mean(0) / self.beta).mean() + dual * mean

    def threshold(self, losses: Tensor) -> Tensor:
        """Each image's t, (B,), from its losses, (draws, B)."""
        if not self.search:
            # Its gradient is the boundary draw's: that draw counts with what is left of the share.
            return losses.topk(math.ceil(self.beta * len(losses)), dim=0).values[-1]
        t = torch.ones_like(losses[0])
        for _ in range(self.search):
            above = (losses.detach() > t).float().mean(0)
            t = t - self.search_size * (1 - above / self.beta) / losses.shape[1]
        return t

    def passes(self, stage: str) -> Passes:
        return Passes(self.draws, self.draws)


presets = {"*": CVaR()}  # the authors' share and draws, on every data set
