"""Recolouring: one map of colours for the whole image."""

from dataclasses import dataclass
from typing import Annotated

import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor

from robench.errors import AttackError


@dataclass(frozen=True, kw_only=True)
class Recolour:
    """A lattice of colours, each shifted; between them the shift is linear.

    ReColorAdv (Laidlaw & Feizi 2019, arXiv:1906.00001) in RGB, where theirs is in CIELUV; on grey
    images it is a map of grey levels. No value shifts by more than eps, and equal colours shift
    alike wherever they are.
    """

    lattice: Annotated[int, Meta(ge=2)] = 8
    """Points along each channel; theirs."""

    def shape(self, x: Tensor) -> tuple[int, ...]:
        """A shift of each channel at each point of the lattice."""
        channels = x.shape[1]
        if channels not in (1, 3):
            raise AttackError(f"recolouring is for 1 or 3 channels, not {channels}")
        return (channels, *[self.lattice] * channels)

    def __call__(self, x: Tensor, at: Tensor, eps: Tensor) -> Tensor:
        """Images (B, C, H, W) in other colours."""
        places = 2 * x.permute(0, 2, 3, 1) - 1  # the sampler's units: the lattice spans [-1, 1]
        if x.shape[1] == 1:
            grid = F.pad(places, (0, 1))  # a lattice of one row
            shift = F.grid_sample(at[:, :, None], grid, align_corners=True)
        else:
            # The sampler's first coordinate runs along the last axis: blue, green, red.
            shift = F.grid_sample(at, places[:, None].flip(-1), align_corners=True)[:, :, 0]
        return (x + eps * shift).clamp(0, 1)
