"""What a minimum-norm attack is: it looks for the nearest wrong image, whatever eps is."""

import math
from collections.abc import Sequence
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from robench.errors import AttackError
from robench.threat import Threat

Nearness = Literal["Linf", "L2", "L1", "L0"]
"""How far two images are apart; in L0 it is the number of pixels with any changed channel."""

LP: tuple[Nearness, ...] = ("Linf", "L2", "L1")
"""Those that are norms."""


class MinimumNorm(Protocol):
    """Anything that looks for the nearest wrong images; a plain function will do."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, norm: Nearness, /) -> Tensor:
        """Images (B, C, H, W) in [0, 1]: the nearest that the model gets wrong.

        The image itself where none was found, and where it is wrong already.
        """
        ...


class Closest:
    """The nearest wrong image of each image so far, and the image itself where there is none."""

    def __init__(self, x: Tensor, norm: Nearness) -> None:
        self.x, self.norm, self.x_adv = x, norm, x.clone()
        self.distance = torch.full((len(x),), math.inf, device=x.device, dtype=x.dtype)

    @property
    def found(self) -> Tensor:
        """Which images, (B,), have one."""
        return self.distance < math.inf

    def look(self, x_adv: Tensor, wrong: Tensor, index: Tensor | None = None) -> Tensor:
        """Take note of images of which some are wrong, and return their distances.

        ``index`` has their places in the batch; none: they are all of it.
        """
        rows = torch.arange(len(self.x), device=self.x.device) if index is None else index
        length = distance(x_adv, self.x[rows], self.norm)
        nearer = wrong & (length < self.distance[rows])
        self.x_adv[rows[nearer]] = x_adv.detach()[nearer]
        self.distance[rows[nearer]] = length[nearer]
        return length


def distance(x_adv: Tensor, x: Tensor, norm: Nearness) -> Tensor:
    """How far images are from others, (B,)."""
    if norm == "L0":
        return (x_adv != x).any(1).flatten(1).sum(1).to(x.dtype)
    return Threat(norm, 0.0).distance(x_adv, x)


def dual(grad: Tensor, norm: Nearness) -> Tensor:
    """Most that a linear function of this gradient rises by a step of length one, (B,).

    It is the dual norm; in L0, where no step has a length, that of L1.
    """
    flat = grad.flatten(1)
    if norm == "Linf":
        return flat.abs().sum(1)
    return flat.norm(dim=1) if norm == "L2" else flat.abs().amax(1)


def anneal(first: float, last: float, share: float) -> float:
    """From the first value to the last one along half a cosine; ``share``, in [0, 1], is done."""
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2


def check(attack: str, norm: Nearness, norms: Sequence[Nearness]) -> None:
    """Raise where an attack is not defined in a norm.

    Raises:
        AttackError: it is not.
    """
    if norm not in norms:
        raise AttackError(f"{attack} looks for the nearest in {', '.join(norms)}, not in {norm}")
