"""The one shape of a network: normalise, body, head."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

Layers = tuple[nn.Module, nn.Linear]
"""A body that ends in a vector of features, and the head that makes logits of them."""


class Classifier(nn.Module):
    """Images in [0, 1] to logits, with the features before the last layer open to methods."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        body: nn.Module,
        head: nn.Linear,
        mean: Sequence[float] = (0.0,),
        std: Sequence[float] = (1.0,),
    ) -> None:
        super().__init__()
        self.body, self.head = body, head
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def features(self, x: Tensor) -> Tensor:
        """Penultimate features, (B, width), of images in [0, 1]."""
        out: Tensor = self.body(self.normalise(x))
        return out

    def normalise(self, x: Tensor) -> Tensor:
        """What the body sees of images in [0, 1]."""
        return (x - self.mean) / self.std

    def forward(self, x: Tensor) -> Tensor:
        """Logits, (B, classes), of images in [0, 1]."""
        logits: Tensor = self.head(self.features(x))
        return logits


def num_parameters(model: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
