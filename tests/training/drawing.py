"""A method that draws from every generator there is."""

import random
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robench.data.batches import Batch
from robench.training.method import Method, Run


@dataclass(frozen=True, kw_only=True)
class Drawing(Method):
    """Weighs its loss by what numpy, Python and torch draw."""

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        drawn = np.random.rand() + random.random() + random.gauss() + float(torch.rand(()))
        return drawn * F.cross_entropy(model(batch.x), batch.y)
