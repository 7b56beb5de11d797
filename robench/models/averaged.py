"""Several networks as one: their mean prediction."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Averaged(nn.Module):
    """The logarithm of the mean probability of some networks; one alone keeps its logits."""

    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        """Log-probabilities, (B, classes), of images in [0, 1]."""
        found: list[Tensor] = [member(x) for member in self.members]
        if len(found) == 1:
            return found[0]
        logs = torch.stack([logits.log_softmax(1) for logits in found])
        return logs.logsumexp(0) - math.log(len(found))
