"""Perturbations of the coefficients that JPEG stores."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from scipy.fft import idct
from torch import Tensor

LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""Quantisation steps, in levels of 255 (ITU-T T.81, table K.1)."""

CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *[(99,) * 8] * 4,
)
"""Of the two colour differences (table K.2)."""

TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))
"""Red, green and blue of brightness and the two colour differences (JFIF)."""


@dataclass(frozen=True, kw_only=True)
class Jpeg:
    """Each coefficient of each block of 8x8 pixels shifts by up to eps quantisation steps.

    JPEG-Linf of Kang et al. 2019 (arXiv:1908.08016), whose eps is twice as large for the same
    shift. The codec is linear but for its rounding, so only what the shifts decode to is added, and
    nothing is lost by coding an image. Colour differences have half the resolution. Only the cut to
    [0, 1] afterwards may shift coefficients further.
    """

    def shape(self, x: Tensor) -> tuple[int, ...]:
        """A number for each coefficient: of brightness, then of the two colour differences."""
        blocks = _blocks(x.shape[2], 8), _blocks(x.shape[3], 8)
        halves = _blocks(x.shape[2], 16), _blocks(x.shape[3], 16)
        colours = 2 * halves[0] * halves[1] if x.shape[1] == 3 else 0
        return (64 * (blocks[0] * blocks[1] + colours),)

    def __call__(self, x: Tensor, at: Tensor, eps: Tensor) -> Tensor:
        """Images (B, C, H, W); with other than 3 channels all have the same shifts."""
        height, width = x.shape[2:]
        down, across = _blocks(height, 8), _blocks(width, 8)
        bright = _decoded(at[:, : 64 * down * across], 1, down, across, LUMINANCE)
        shift = bright[..., :height, :width]
        if x.shape[1] == 3:
            rest = at[:, 64 * down * across :]
            colour = _decoded(rest, 2, _blocks(height, 16), _blocks(width, 16), CHROMINANCE)
            colour = F.interpolate(colour, scale_factor=2.0)[..., :height, :width]
            shift = torch.einsum(
                "rk,bkhw->brhw", x.new_tensor(TO_RGB), torch.cat([shift, colour], 1)
            )
        return (x + eps * shift).clamp(0, 1)


def _blocks(side: int, size: int) -> int:
    return -(-side // size)


def _decoded(
    at: Tensor, channels: int, down: int, across: int, steps: tuple[tuple[int, ...], ...]
) -> Tensor:
    """Coefficients in quantisation steps to values in [0, 1] pixel units, (B, channels, H, W)."""
    inverse = _inverse().to(at)
    blocks = at.view(len(at), channels, down, across, 8, 8) * (at.new_tensor(steps) / 255)
    pixels = inverse @ blocks @ inverse.T
    return pixels.transpose(3, 4).reshape(len(at), channels, 8 * down, 8 * across)


@cache
def _inverse() -> Tensor:
    """The matrix of the inverse cosine transform of 8 numbers."""
    return torch.from_numpy(idct(np.eye(8), axis=0, norm="ortho"))
