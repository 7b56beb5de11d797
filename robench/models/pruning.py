"""Stochastic activation pruning: a rectifier that drops activations at random, small ones first."""

import torch
from torch import Tensor, nn


class Pruning(nn.Module):
    """What is kept is divided by the probability that it was, so the mean is the rectifier's.

    As if the layer were sampled ``share`` times its size, with replacement, each activation as
    likely as it is large (Dhillon et al. 2018, arXiv:1803.01442). Draws from torch's generator.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def kept(self, active: Tensor) -> Tensor:
        """Probability that each of an image's activations, none below 0, is sampled at all."""
        flat = active.flatten(1)
        drawn = (flat / flat.sum(1, keepdim=True).clamp_min(1e-30)).clamp_max(1)
        # 1 - (1 - p)^N, exact for p far below the resolution of 1 - p
        return -torch.expm1(self.share * flat.shape[1] * torch.log1p(-drawn)).view_as(active)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape. Gradients pass what was kept, and no further into the probabilities."""
        active = x.relu()
        kept = self.kept(active.detach())
        stays = torch.rand_like(kept) < kept
        return active * torch.where(stays, 1 / kept, 0)
