"""Blur: a lens out of focus, frosted glass, a moving camera and one that comes nearer.

Lengths are CIFAR-10-C's, in pixels of 32 (Hendrycks & Dietterich 2019, arXiv:1903.12261).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from robench.data.corruptions.canvas import filtered, kernel, moved, places, spacing, zoomed
from robench.data.corruptions.draws import Draws

_LENS = ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))
"""Radius of the disc, and spread of what softens its edge."""
_GLASS = ((0.05, 1), (0.25, 1), (0.4, 1), (0.25, 2), (0.4, 2))
"""Spread of a blur before and after, and how often pixels jump."""
_MOTION = ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5))
"""Radius and spread along the way."""
_ZOOMS = (6, 11, 15, 20, 25)
"""The last zoom, in per cent."""


def defocus(x: Tensor, _: Draws, severity: int) -> Tensor:
    """Under a disc, softened over the pixels next to it."""
    (radius, soft), (step, taps) = _LENS[severity - 1], spacing(x)
    reach = int(radius * taps) + round(taps)
    at = torch.arange(-reach, reach + 1.0)
    disc = (at**2 + at[:, None] ** 2 <= (radius * taps) ** 2).float()
    edge = _bell(soft * taps, round(taps))
    lens = F.conv2d(disc[None, None], (edge * edge[:, None])[None, None], padding="same")
    points = torch.cartesian_prod(at, at) * step
    return filtered(x, kernel(points[None], lens.reshape(1, -1)), "reflect")


def glass(x: Tensor, draws: Draws, severity: int) -> Tensor:
    """Pixels take the value of one nearby, above or to the left, between two slight blurs."""
    (spread, times), (step, taps) = _GLASS[severity - 1], spacing(x)
    far = round(taps)
    x = _softened(x, spread)
    inside = torch.zeros(x.shape[-2:])
    inside[far + 1 : x.shape[-2] - far + 1, far + 1 : x.shape[-1] - far + 1] = 1
    for _ in range(times):
        jumps = draws.uniform(-far, far, 2, *x.shape[-2:]).floor()
        x = moved(x, places(x) + step * inside * jumps)
    return _softened(x, spread)


def motion(x: Tensor, draws: Draws, severity: int) -> Tensor:
    """Along a line that is nearer to level than to upright."""
    return streaked(x, draws.uniform(-45, 45), *_MOTION[severity - 1])


def zoom(x: Tensor, _: Draws, severity: int) -> Tensor:
    """The mean of the image and of zooms into it, a per cent apart.

    About the middle; the authors' cut at whole pixels, which also moves the image by up to one.
    """
    every = range(_ZOOMS[severity - 1] + 1)
    return (x + sum(zoomed(x, 1 + cent / 100) for cent in every)) / (len(every) + 1)


def streaked(x: Tensor, angle: Tensor, radius: float, spread: float) -> Tensor:
    """Blurred to one side along lines at angles (N,) in degrees; ImageMagick's motion blur."""
    step, taps = spacing(x)
    along = torch.arange(int(min(2 * radius, 4 * spread) * taps) + 1.0)
    weights = (-((along / taps / spread) ** 2) / 2).exp()
    turn = angle * math.pi / 180
    points = torch.stack([turn.sin(), turn.cos()], 1)[:, None] * along[:, None] * step
    return filtered(x, kernel(points, weights.expand(len(x), -1)), "replicate")


def _softened(x: Tensor, spread: float) -> Tensor:
    """Under a normal distribution, cut off after four spreads."""
    step, taps = spacing(x)
    reach = int(4 * spread * taps + 0.5)
    at, bell = torch.arange(-reach, reach + 1.0) * step, _bell(spread * taps, reach)
    weights = (bell * bell[:, None]).reshape(1, -1)
    return filtered(x, kernel(torch.cartesian_prod(at, at)[None], weights), "replicate")


def _bell(spread: float, reach: int) -> Tensor:
    return (-((torch.arange(-reach, reach + 1.0) / spread) ** 2) / 2).exp()
