"""Attacks in several threat models at once: the worst of several images, and one ascent in all."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robench.adversary.gradient import gradient
from robench.adversary.losses import cross_entropy
from robench.threat import Threat, per_image


def worst(
    model: nn.Module, candidates: Sequence[Tensor], y: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Of several perturbations of each image the one of highest cross-entropy.

    Returns the images (B, C, H, W), their losses (B,), and whose candidates they are (B,).
    """
    with torch.no_grad():
        losses = torch.stack([cross_entropy(model(x_adv), y) for x_adv in candidates])
    highest, which = losses.max(0)
    x_adv = torch.stack([*candidates])[which, torch.arange(len(y), device=y.device)]
    return x_adv, highest, which


def ascend_in_all(
    model: nn.Module,
    x: Tensor,
    x_adv: Tensor,
    y: Tensor,
    threats: Sequence[Threat],
    *,
    steps: int,
    sizes: Sequence[float | Tensor],
) -> tuple[Tensor, Tensor]:
    """Multi steepest descent (Maini et al. 2020, arXiv:1909.04068): one step of all that are tried.

    Each step is tried in every threat model and goes on from where the cross-entropy is highest.
    Returns the images of highest loss of all steps, and in whose threat model they lie, (B,). A
    step takes a forward and a backward pass, and a forward pass for each threat model.
    """
    best, highest = x_adv, torch.full_like(x[:, 0, 0, 0], -torch.inf)
    whose = torch.zeros_like(y)
    for _ in range(steps):
        _, _, grad = gradient(model, x_adv, cross_entropy, y)
        tried = [
            threat.project(x_adv + per_image(size, x) * threat.direction(grad), x)
            for threat, size in zip(threats, sizes, strict=True)
        ]
        x_adv, values, which = worst(model, tried, y)
        better = values > highest
        best = torch.where(per_image(better, x).bool(), x_adv, best)
        highest, whose = torch.where(better, values, highest), torch.where(better, which, whose)
    return best, whose
