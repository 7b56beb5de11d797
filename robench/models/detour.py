"""Layers that let no gradient through, and the way around them that an attack may take (BPDA)."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def around(value: Tensor, way: Tensor) -> Tensor:
    """The bits of ``value``, with the gradient of ``way``."""
    return value.detach() + (way - way.detach())


class Detour(nn.Module):
    """Base of layers whose gradient is zero, with a smooth layer like them to go around by.

    Backward pass differentiable approximation (Athalye et al. 2018, arXiv:1802.00420): forwards it
    is always the layer itself.
    """

    is_open = False
    """Whether gradients go through ``smooth``."""

    def exact(self, x: Tensor) -> Tensor:
        """What the layer does."""
        raise NotImplementedError

    def smooth(self, x: Tensor) -> Tensor:
        """What stands for it on the way back."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """What the layer does; backwards zeros come through it unless the detour is open."""
        with torch.no_grad():
            value = self.exact(x)
        if not (torch.is_grad_enabled() and x.requires_grad):
            return value
        return around(value, self.smooth(x) if self.is_open else 0 * x.sum())


@contextmanager
def opened(model: nn.Module) -> Iterator[None]:
    """Gradients of what is computed inside go around all layers that have a detour."""
    closed = [part for part in model.modules() if isinstance(part, Detour) and not part.is_open]
    for part in closed:
        part.is_open = True
    try:
        yield
    finally:
        for part in closed:
            part.is_open = False
