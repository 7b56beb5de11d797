"""Loss and gradients of one step: what a method that reduces to another has in common with it."""

import torch
from torch import Tensor

from robench.check import tiny
from robench.data.batches import Batch
from robench.training.method import Method, Run, crafting


def gradients(method: Method, batch: Batch, run: Run) -> list[Tensor]:
    """The loss at the method's own images, and its gradient to each of a new network's weights.

    Two methods get the same network and the same random numbers. Weights after a step would tell
    less: they cannot be compared where batch normalisation has seen other images besides.
    """
    torch.manual_seed(1)
    model = tiny.classifier()
    torch.manual_seed(3)
    with crafting(model, "eval"):
        x_adv = method.perturb(model, batch, run)
    loss = method.loss(model, batch, x_adv, run)
    return [loss, *torch.autograd.grad(loss, list(model.parameters()))]
