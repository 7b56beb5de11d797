"""The slope of the loss at images, kept in the graph: what double backpropagation regularises."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def slope(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Gradient of the images' summed cross-entropy at them, (B, C, H, W).

    Weights can be trained through it, which costs a second backward pass. In eval mode each row is
    the gradient of its own image's loss; in train mode batch statistics tie images together.
    """
    leaf = x.detach().requires_grad_()
    (grad,) = torch.autograd.grad(
        F.cross_entropy(model(leaf), y, reduction="sum"), leaf, create_graph=True
    )
    return grad
