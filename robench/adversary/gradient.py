"""The gradient of an objective with respect to images, and to nothing else."""

import torch
from torch import Tensor, nn

from robench.adversary.losses import Loss


def gradient(
    model: nn.Module, x_adv: Tensor, loss: Loss, goal: Tensor, draws: int = 1
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, values (B,) and gradients (B, C, H, W) of ``loss(logits, goal)``.

    Several draws are expectation over transformation (Athalye et al. 2018, arXiv:1802.00420): the
    gradient is their mean, logits and values are the last one's. Entries that are not finite
    become 0, so that an image never becomes NaN by a step.
    """
    total = torch.zeros_like(x_adv)
    for _ in range(draws):
        leaf = x_adv.detach().requires_grad_()
        with torch.enable_grad():
            logits = model(leaf)
            values = loss(logits, goal)
            (grad,) = torch.autograd.grad(values.sum(), leaf)
        total += grad
    return logits.detach(), values.detach(), (total / draws).nan_to_num_(0.0, 0.0, 0.0)
