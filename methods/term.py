"""TERM: tilted empirical risk, high losses weigh more (Li et al. 2021, arXiv:2007.01162)."""

import math
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from robench.data.batches import Batch
from robench.training.method import Method, Run


@dataclass(frozen=True, kw_only=True)
class Term(Method):
    """log(mean(exp(tilt x loss))) / tilt over the images of a batch; no inner maximisation.

    Reduces to: natural training at tilt = 0, or in a batch of one image; the largest loss of the
    batch as tilt grows, the smallest as it falls.

    Differs from advbench's code: one logsumexp, which large losses do not overflow, in place of the
    logarithm of a mean of exponentials plus a small constant.
    """

    tilt: float = 2.0
    """Above 0, images of high loss weigh more; below, less. The default is advbench's."""

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        if self.tilt == 0:
            return F.cross_entropy(model(batch.x), batch.y)
        losses = F.cross_entropy(model(batch.x), batch.y, reduction="none")
        return ((self.tilt * losses).logsumexp(0) - math.log(len(losses))) / self.tilt


presets = {"*": Term()}  # advbench's tilt, on every data set
