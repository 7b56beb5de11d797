"""Digital: low contrast, elastic deformation, coarse pixels and JPEG's losses.

Strengths are CIFAR-10-C's (Hendrycks & Dietterich 2019, arXiv:1903.12261).
"""

import io
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor

from robench.data.corruptions.canvas import averaged, canvas, moved, places
from robench.data.corruptions.draws import Draws

_CONTRAST = (0.75, 0.5, 0.4, 0.3, 0.15)
_ELASTIC = ((0.0, 0.0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05),
            (0.1, 0.03, 0.03))  # fmt: skip
"""How far pixels move, how smoothly, and how far three corners do, in sides of the image."""
_PIXELS = (0.95, 0.9, 0.85, 0.75, 0.65)
_QUALITY = (80, 65, 58, 50, 40)

_CORNERS = ((26.0, 26.0), (26.0, 6.0), (6.0, 6.0))
"""Of an image of 32 pixels."""


def contrast(x: Tensor, _: Draws, severity: int) -> Tensor:
    """Every channel comes nearer to its mean."""
    mean = x.mean((2, 3), keepdim=True)
    return mean + _CONTRAST[severity - 1] * (x - mean)


def elastic(x: Tensor, draws: Draws, severity: int) -> Tensor:
    """A random affine map, and random moves of the pixels that are alike where they are near."""
    far, smooth, corners = _ELASTIC[severity - 1]
    side, size = canvas(x), x.shape[-1]
    affine = _affine(draws.uniform(-corners, corners, 3, 2), size)
    sigma = smooth * side
    jumps = draws.uniform(-1, 1, 2, side, side).numpy()
    alike = gaussian_filter(jumps, (0, 0, sigma, sigma), mode="reflect", truncate=3)
    source = places(x) + far * size * averaged(torch.from_numpy(alike), x)
    ones = torch.ones_like(source[:, :1])
    return moved(x, torch.einsum("nij,nihw->njhw", affine, torch.cat([source, ones], 1)))


def _affine(shift: Tensor, size: int) -> Tensor:
    """Maps (N, 3, 2) that undo a move of three corners (N, 3, 2), in shares of the side."""
    corners = torch.tensor(_CORNERS) * size / 32
    ones = torch.ones(len(shift), 3, 1)
    return torch.linalg.solve(torch.cat([corners + size * shift, ones], 2), corners)


def pixelate(x: Tensor, _: Draws, severity: int) -> Tensor:
    """Made smaller and larger again, each pixel the mean or the copy of what it covers."""
    height, width = (int(side * _PIXELS[severity - 1]) for side in x.shape[-2:])

    def through(image: Image.Image) -> Image.Image:
        small = image.resize((width, height), Image.Resampling.BOX)
        return small.resize(image.size, Image.Resampling.BOX)

    return _each(x, through)


def jpeg(x: Tensor, _: Draws, severity: int) -> Tensor:
    """Written as JPEG of some quality, and read again."""

    def through(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=_QUALITY[severity - 1])
        return Image.open(file)

    return _each(x, through)


def _each(x: Tensor, through: Callable[[Image.Image], Image.Image]) -> Tensor:
    """Images one by one as files have them, (H, W) or (H, W, 3) of 8 bits."""
    pixels = (255 * x).round().byte().permute(0, 2, 3, 1).numpy()
    flat = pixels[..., 0] if x.shape[1] == 1 else pixels
    found = np.stack([np.asarray(through(Image.fromarray(image))) for image in flat])
    return torch.from_numpy(found.reshape(pixels.shape)).permute(0, 3, 1, 2).float() / 255
