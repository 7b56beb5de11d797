"""The shape of a network: normalise, body, head."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

Layers = tuple[nn.Module, nn.Module]
"""A body and a head: of a vector of features, or of maps of them."""


class Network(nn.Module):
    """Images in [0, 1] to logits: normalised, through a body, then through a head."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        body: nn.Module,
        head: nn.Module,
        mean: Sequence[float] = (0.0,),
        std: Sequence[float] = (1.0,),
    ) -> None:
        super().__init__()
        self.body, self.head = body, head
        self.passed = nn.Identity()
        """What a body gives goes through here, where passes are counted."""
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def normalise(self, x: Tensor) -> Tensor:
        """What the body sees of images in [0, 1]."""
        return (x - self.mean) / self.std

    def features(self, x: Tensor) -> Tensor:
        """Features, (B, width), of images in [0, 1]."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Logits, (B, classes), of images in [0, 1]."""
        logits: Tensor = self.head(self._through(x))
        return logits

    def _through(self, x: Tensor) -> Tensor:
        passed: Tensor = self.passed(self.body(self.normalise(x)))
        return passed


class Classifier(Network):
    """The head is linear, and the features before it are open to methods."""

    def features(self, x: Tensor) -> Tensor:
        """Penultimate features, (B, width), of images in [0, 1]."""
        return self._through(x)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, (B, classes), of images in [0, 1]."""
        logits: Tensor = self.head(self.features(x))
        return logits


class MapClassifier(Network):
    """The head makes logits of every place of a map, and takes their mean."""

    def features(self, x: Tensor) -> Tensor:
        """Mean features over the map, (B, width), of images in [0, 1]."""
        out: Tensor = self._through(x).mean((2, 3))
        return out


def num_parameters(model: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
