"""Adam on a batch in which every image is a problem of its own, and may leave."""

import torch
from torch import Tensor

FIRST, SECOND = 0.9, 0.999
"""How much of the running means of gradients and of their squares is kept a step."""

_TINY = 1e-8


class Adam:
    """Running means of gradients and their squares (Kingma & Ba 2015, arXiv:1412.6980)."""

    def __init__(self, like: Tensor) -> None:
        self._mean, self._square = torch.zeros_like(like), torch.zeros_like(like)
        self._steps = 0

    def __call__(self, grad: Tensor) -> tuple[Tensor, Tensor]:
        """What a step is along, and what it is divided by, both shaped like the gradient."""
        self._steps += 1
        self._mean = FIRST * self._mean + (1 - FIRST) * grad
        self._square = SECOND * self._square + (1 - SECOND) * grad.square()
        scale = (self._square / (1 - SECOND**self._steps)).sqrt() + _TINY
        return self._mean / (1 - FIRST**self._steps), scale

    def keep(self, rows: Tensor) -> None:
        """Go on with some of the images: a mask, or places."""
        self._mean, self._square = self._mean[rows], self._square[rows]
