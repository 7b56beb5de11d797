"""A randomly smoothed classifier: the mean prediction under Gaussian noise."""

import math

import torch
from torch import Tensor, nn


class Smoothed(nn.Module):
    """The logarithm of the mean probability over noisy copies of an image.

    Every call draws anew from torch's generator. Noisy images may leave [0, 1]. Gradients go
    through all draws, so what attacks it attacks the mean (Salman et al. 2019, arXiv:1906.04584).
    """

    def __init__(self, base: nn.Module, sigma: float, draws: int) -> None:
        super().__init__()
        self.base, self.sigma, self.draws = base, sigma, draws

    def forward(self, x: Tensor) -> Tensor:
        """Log-probabilities, (B, classes), of images in [0, 1]."""
        logs = [
            self.base(x + self.sigma * torch.randn_like(x)).log_softmax(1)
            for _ in range(self.draws)  # one after the other: without gradients, none is kept
        ]
        return torch.stack(logs).logsumexp(0) - math.log(self.draws)
