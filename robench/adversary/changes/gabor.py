"""Gabor noise: patches of stripes."""

import math
from dataclasses import dataclass
from functools import cache
from typing import Annotated

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Gabor:
    """Patches of stripes in several directions, whose sum is at most eps at every pixel.

    After Kang et al. 2019 (arXiv:1908.08016), who draw one direction and random places for each
    image; here all directions are there at places of a lattice, each with a weight of its own, and
    the sum is only made smaller where it is over 1. All channels have the same stripes.
    """

    directions: Annotated[int, Meta(ge=1)] = 4
    """Of stripes, evenly spaced."""
    wavelength: Annotated[float, Meta(gt=0, le=1)] = 1 / 6
    """Of the stripes, as a share of the image's side; 3 pixels at least."""

    def shape(self, x: Tensor) -> tuple[int, ...]:
        """A weight for each direction and place; places are half a wavelength apart."""
        step = self._step(x)
        return (self.directions, *(-(-side // step) for side in x.shape[2:]))

    def __call__(self, x: Tensor, at: Tensor, eps: Tensor) -> Tensor:
        """Images (B, C, H, W) with stripes."""
        kernel = _stripes(self.directions, self._pixels(x)).to(x)
        step = self._step(x)
        noise = F.conv_transpose2d(at, kernel, stride=step, padding=kernel.shape[-1] // 2)
        noise = F.pad(noise, (0, step, 0, step))[..., : x.shape[2], : x.shape[3]]
        largest = noise.detach().abs().amax((1, 2, 3), keepdim=True)
        return (x + eps * noise / largest.clamp_min(1)).clamp(0, 1)

    def _pixels(self, x: Tensor) -> float:
        return max(self.wavelength * x.shape[-1], 3.0)

    def _step(self, x: Tensor) -> int:
        return max(round(self._pixels(x) / 2), 1)


@cache
def _stripes(count: int, wavelength: float) -> Tensor:
    """One patch a direction, (count, 1, k, k), k odd, of 1 in its middle; a wavelength wide."""
    reach = math.ceil(1.5 * wavelength)
    place = torch.arange(-reach, reach + 1.0)
    down, right = torch.meshgrid(place, place, indexing="ij")
    angles = torch.arange(count) * (math.pi / count)
    across = right * angles.cos()[:, None, None] + down * angles.sin()[:, None, None]
    envelope = torch.exp(-(down**2 + right**2) / (2 * (0.6 * wavelength) ** 2))
    return (envelope * torch.cos(2 * math.pi / wavelength * across))[:, None]
