"""Weights of several things on the probability simplex, moved towards those of high loss."""

import torch
from torch import Tensor

from robench.errors import ConfigError


def nearest(point: Tensor) -> Tensor:
    """The nearest weights, which are 0 or more and sum to 1, along the last dimension.

    They are max(0, point - t) for one t, which is found exactly among the sorted entries.
    """
    point = point - point.amax(-1, keepdim=True)  # t moves with it; large numbers lose nothing
    ordered = point.sort(dim=-1, descending=True).values
    count = torch.arange(1, point.shape[-1] + 1, device=point.device, dtype=point.dtype)
    shifts = (ordered.cumsum(-1) - 1) / count
    last = (ordered > shifts).sum(-1, keepdim=True) - 1
    return (point - shifts.gather(-1, last)).clamp_min(0)


def moved(weights: Tensor, losses: Tensor, step: float, gamma: float) -> Tensor:
    """The weights after a step up  sum(w x loss) - gamma / 2 x |w - 1 / m|^2  over the simplex.

    Weights and losses have the m things in their last dimension (Wang et al. 2021,
    arXiv:1906.03563; step is its 1 / beta).
    """
    apart = weights - 1 / weights.shape[-1]
    return nearest(weights + step * (losses - gamma * apart))


def check_step(owner: str, step: float, gamma: float) -> None:
    """Refuse steps that go past the even weights when no loss is higher than another."""
    if step * gamma > 1:
        raise ConfigError(
            f"{owner}: weight_step x gamma is {step * gamma:g}; over 1, weights overshoot and swing"
        )
