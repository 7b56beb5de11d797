"""Elastic deformation: every pixel moves, and neighbours move alike."""

import math
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from robench.adversary.flow import deformed


@dataclass(frozen=True, kw_only=True)
class Elastic:
    """A movement of each pixel, blurred (Kang et al. 2019, arXiv:1908.08016).

    No pixel moves by more than eps, a share of the image's side, along either axis: a blur is a
    mean. Their strengths on CIFAR-10 go from 1/256 to 1/4 of the side.
    """

    smooth: Annotated[float, Meta(ge=0, le=1)] = 3 / 32
    """Standard deviation of the blur, as a share of the side; theirs on CIFAR-10. At 0 every pixel
    moves by itself, as in stAdv (Xiao et al. 2018, arXiv:1801.02612) without its penalty."""

    def shape(self, x: Tensor) -> tuple[int, ...]:
        """A movement rightwards and downwards for each pixel."""
        return (2, *x.shape[-2:])

    def __call__(self, x: Tensor, at: Tensor, eps: Tensor) -> Tensor:
        """Images (B, C, H, W) whose pixels are fetched from elsewhere."""
        sigma = self.smooth * x.shape[-1]
        if sigma:
            reach = min(math.ceil(3 * sigma), min(x.shape[-2:]) - 1)  # a mirror image has no more
            at = gaussian_blur(at, [2 * reach + 1] * 2, [sigma] * 2)
        return deformed(x, eps * at).clamp(0, 1)
