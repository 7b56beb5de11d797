"""Noise: on every channel of every pixel alone, so its strength is the same at any image size.

Strengths are CIFAR-10-C's (Hendrycks & Dietterich 2019, arXiv:1903.12261).
"""

import torch
from torch import Tensor

from robench.data.corruptions.draws import Draws

_SPREAD = (0.04, 0.06, 0.08, 0.09, 0.10)
_PHOTONS = (500, 250, 100, 75, 50)
_SHARE = (0.01, 0.02, 0.03, 0.05, 0.07)


def gaussian(x: Tensor, draws: Draws, severity: int) -> Tensor:
    """Normal noise of one spread."""
    return x + _SPREAD[severity - 1] * draws.normal(*x.shape[1:])


def shot(x: Tensor, draws: Draws, severity: int) -> Tensor:
    """Counts of photons: bright pixels vary most, black ones not at all."""
    photons = _PHOTONS[severity - 1]
    return draws.poisson(x * photons) / photons


def impulse(x: Tensor, draws: Draws, severity: int) -> Tensor:
    """A share of all values is 0 or 1 instead, as likely the one as the other."""
    chance = draws.uniform(0, 1, *x.shape[1:])
    struck, white = chance < _SHARE[severity - 1], chance < _SHARE[severity - 1] / 2
    return torch.where(struck, white.float(), x)
