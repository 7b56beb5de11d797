"""A classifier, and beside it a generator of images to train it on."""

import torch
from torch import Tensor, nn

from robench.data.load import Images
from robench.models.generator import Generator

CHUNK = 256
"""Images drawn at once; always as many, so that the first ones are the same however many follow."""


class Supplied(nn.Module):
    """Classifies as its classifier does."""

    def __init__(self, classifier: nn.Module, generator: Generator) -> None:
        super().__init__()
        self.classifier, self.generator = classifier, generator

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images in [0, 1]."""
        logits: Tensor = self.classifier(x)
        return logits

    @torch.no_grad()
    def drawn(self, count: int) -> Tensor:
        """The first images, (N, C, H, W), uint8, of a sequence of codes that never changes."""
        codes, place = torch.Generator().manual_seed(0), self.generator.last.weight.device
        found = []
        for start in range(0, count, CHUNK):
            z = torch.randn(CHUNK, self.generator.latent, generator=codes).to(place)
            x = self.generator(z, self._labels(start, CHUNK, place))
            found.append((255 * x).round().to(torch.uint8))
        return torch.cat(found)[:count]

    def supply(self, pixels: Tensor) -> Images:
        """What was drawn, with its labels."""
        labels = self._labels(0, len(pixels), pixels.device)
        return Images(pixels, labels, 255.0, torch.arange(len(pixels), device=pixels.device))

    def _labels(self, start: int, count: int, place: torch.device) -> Tensor:
        """Classes in turn, from a position in the sequence on."""
        return torch.arange(start, start + count, device=place) % self.generator.classes
