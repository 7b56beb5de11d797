"""One rule for images of all sizes: what was published is for 32 pixels, lengths go with the side.

In images below 32 pixels a kernel's taps, or a jump, come to lie between pixels, and are shared out
among the nearest as linear interpolation does. What is drawn over an image, or moves it about, is
drawn on a canvas of 32 pixels, whose pixels are then averaged. In larger images lengths are longer.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

PUBLISHED = 32
"""Pixels a side that CIFAR-10-C's lengths are for."""


def spacing(x: Tensor) -> tuple[float, float]:
    """Pixels between two taps of a published kernel, at most 1, and taps that stand for one."""
    ratio = x.shape[-1] / PUBLISHED
    return min(1.0, ratio), max(1.0, ratio)


def canvas(x: Tensor) -> int:
    """Side of the canvas that is drawn on."""
    return max(PUBLISHED, *x.shape[-2:])


def averaged(layer: Tensor, x: Tensor) -> Tensor:
    """A canvas (..., S, S) as large as the images."""
    return F.adaptive_avg_pool2d(layer, (x.shape[-2], x.shape[-1]))


def kernel(points: Tensor, weights: Tensor) -> Tensor:
    """Taps at (N, P, 2) places (down, right; in pixels) as a square of pixels, (N, K, K)."""
    reach = math.ceil(points.abs().amax().item() - 1e-4)
    at = torch.arange(-reach, reach + 1.0)
    hats = (1 - (points[..., None] - at).abs()).clamp_min(0)  # (N, P, 2, K)
    found = torch.einsum("np,npi,npj->nij", weights, hats[:, :, 0], hats[:, :, 1])
    return found / found.sum((1, 2), keepdim=True)


def filtered(x: Tensor, by: Tensor, edge: str) -> Tensor:
    """Images (N, C, H, W) under one kernel or one each, (1 or N, K, K); see F.pad for ``edge``."""
    count, channels, *size = x.shape
    reach = by.shape[-1] // 2
    padded = F.pad(x, (reach, reach, reach, reach), mode=edge)
    weight = by[:, None].expand(count, channels, -1, -1).reshape(-1, 1, *by.shape[1:])
    flat = padded.reshape(1, -1, *padded.shape[2:])
    return F.conv2d(flat, weight, groups=count * channels).reshape(count, channels, *size)


def moved(x: Tensor, source: Tensor) -> Tensor:
    """Images whose pixels come from places (N, 2, H, W): down and right, in pixels."""
    size = torch.tensor(x.shape[-2:]).view(1, 2, 1, 1)
    grid = (2 * source / (size - 1) - 1).permute(0, 2, 3, 1).flip(-1)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=True)


def places(x: Tensor) -> Tensor:
    """Where every pixel is, (1, 2, H, W)."""
    height, width = x.shape[-2:]
    down, right = torch.meshgrid(
        torch.arange(float(height)), torch.arange(float(width)), indexing="ij"
    )
    return torch.stack([down, right])[None]


def zoomed(x: Tensor, factor: float) -> Tensor:
    """The middle of images, magnified to all of their size."""
    for axis in (-2, -1):
        at = torch.arange(float(x.shape[axis]))
        middle = (len(at) - 1) / 2
        hats = (1 - ((at - middle) / factor + middle - at[:, None]).abs()).clamp_min(0)
        x = torch.tensordot(x, hats, dims=([axis], [0])).movedim(-1, axis)
    return x
