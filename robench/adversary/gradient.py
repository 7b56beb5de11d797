"""The gradient of an objective with respect to images, and to nothing else."""

import torch
from torch import Tensor, nn

from robench.adversary.losses import Loss


def gradient(
    model: nn.Module, x_adv: Tensor, loss: Loss, goal: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (B, K), values (B,) and gradients (B, C, H, W) of ``loss(logits, goal)``.

    Entries that are not finite become 0, so that an image never becomes NaN by a step.
    """
    leaf = x_adv.detach().requires_grad_()
    with torch.enable_grad():
        logits = model(leaf)
        values = loss(logits, goal)
        (grad,) = torch.autograd.grad(values.sum(), leaf)
    return logits.detach(), values.detach(), grad.nan_to_num_(0.0, 0.0, 0.0)


def expected(
    model: nn.Module, x_adv: Tensor, loss: Loss, goal: Tensor, draws: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits of every draw, (D, B, K), and the means of their values and gradients.

    Expectation over transformation (Athalye et al. 2018, arXiv:1802.00420).
    """
    drawn = [gradient(model, x_adv, loss, goal) for _ in range(draws)]
    logits, values, grads = (torch.stack(part) for part in zip(*drawn, strict=True))
    return logits, values.mean(0), grads.mean(0)
