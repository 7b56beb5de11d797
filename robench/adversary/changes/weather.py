"""Fog and snow: both only brighten, because light is added.

After Kang et al. 2019 (arXiv:1908.08016), written anew: their fog is a fractal that depends on its
own extremes and darkens where it is thin, their snow has random flakes of random lengths.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Annotated

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Fog:
    """White light of a smooth thickness of at most eps: x + thickness * (1 - x)."""

    decay: Annotated[float, Meta(gt=1)] = 2.0
    """By how much finer layers are thinner; each has twice the points a side of the one before."""

    def shape(self, x: Tensor) -> tuple[int, ...]:
        """A number for each point of each layer; the signs do not matter."""
        return (sum(side * side for side in _sides(x)),)

    def __call__(self, x: Tensor, at: Tensor, eps: Tensor) -> Tensor:
        """Images (B, C, H, W), the contrast of each pixel less by its fog's thickness."""
        sides = _sides(x)
        layers = at.abs().split([side * side for side in sides], dim=1)
        weights = [self.decay**-k for k in range(len(sides))]
        fog = torch.zeros_like(x[:, :1])
        for side, layer, weight in zip(sides, layers, weights, strict=True):
            layer = layer.view(-1, 1, side, side)
            size = [*x.shape[2:]]
            fog = fog + weight / sum(weights) * F.interpolate(
                layer, size, mode="bilinear", align_corners=True
            )
        return whiter(x, eps * fog)


@dataclass(frozen=True, kw_only=True)
class Snow:
    """Short white streaks in a few directions, of at most eps: x + snow * (1 - x)."""

    cover: Annotated[float, Meta(gt=0, le=1)] = 0.15
    """Largest share of an image that flakes cover, where they are thin in part."""
    length: Annotated[float, Meta(gt=0, le=1)] = 1 / 8
    """Of a flake, as a share of the image's side."""
    directions: Annotated[int, Meta(ge=1)] = 3
    """Of flakes, between 45 degrees to the left and to the right of falling."""

    def shape(self, x: Tensor) -> tuple[int, ...]:
        """A flake's size at every second pixel, in each direction; the signs do not matter."""
        return (self.directions, *(-(-side // 2) for side in x.shape[2:]))

    def __call__(self, x: Tensor, at: Tensor, eps: Tensor) -> Tensor:
        """Images (B, C, H, W) with flakes."""
        kernel = _streaks(self.directions, max(self.length * x.shape[-1], 1.0)).to(x)
        fallen = F.conv_transpose2d(at**4, kernel, stride=2, padding=kernel.shape[-1] // 2)
        fallen = F.pad(fallen, (0, 1, 0, 1))[..., : x.shape[2], : x.shape[3]]
        mean = fallen.mean((1, 2, 3), keepdim=True)
        fallen = fallen * (self.cover / mean.clamp_min(self.cover))
        return whiter(x, eps * fallen.clamp(max=1))


def whiter(x: Tensor, light: Tensor) -> Tensor:
    """Images mixed with white, of which they have a share ``light`` in [0, 1] at each pixel."""
    return (x + light * (1 - x)).clamp(0, 1)


def _sides(x: Tensor) -> list[int]:
    """1, 2, 4, ... points a side, up to half as many as pixels."""
    return [2**k for k in range(max(int(math.log2(min(x.shape[2:]))), 1))]


@cache
def _streaks(count: int, length: float) -> Tensor:
    """One streak a direction, (count, 1, k, k), k odd, of 1 in its middle."""
    reach = math.ceil(length)
    place = torch.arange(-reach, reach + 1.0)
    down, right = torch.meshgrid(place, place, indexing="ij")
    angles = torch.linspace(-math.pi / 4, math.pi / 4, count) if count > 1 else torch.zeros(1)
    cos, sin = angles.cos()[:, None, None], angles.sin()[:, None, None]
    along, beside = down * cos + right * sin, right * cos - down * sin
    return torch.exp(-((2 * along / length) ** 2) - (beside / 0.6) ** 2)[:, None]
