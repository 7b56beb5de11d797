"""Weather: snow, frost, fog and bright light.

Strengths are CIFAR-10-C's (Hendrycks & Dietterich 2019, arXiv:1903.12261). Its frost is cut out of
photographs; here it is drawn, from ridges of random clouds.
"""

import torch
from torch import Tensor

from robench.data.corruptions.blur import streaked
from robench.data.corruptions.canvas import PUBLISHED, averaged, canvas, zoomed
from robench.data.corruptions.draws import Draws

_SNOW = (
    (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
    (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
    (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
    (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
    (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
)
"""Mean and spread of the flakes, their size, what shows of them, their way, the image's share."""
_FROST = ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45))
"""Shares of the image and of the frost."""
_FOG = ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75))
"""How thick, and how much smoother fine clouds are than coarse ones."""
_LIGHT = (0.05, 0.1, 0.15, 0.2, 0.3)

_LUMA = (0.299, 0.587, 0.114)
_ICE = (0.89, 1.02, 1.09)


def snow(x: Tensor, draws: Draws, severity: int) -> Tensor:
    """Streaks of flakes from two sides over a whitened image."""
    mean, spread, size, least, radius, far, share = _SNOW[severity - 1]
    side = canvas(x)
    flakes = zoomed(mean + spread * draws.normal(1, side, side), size * side / PUBLISHED)
    flakes = torch.where(flakes < least, 0, flakes).clamp(0, 1)
    fallen = streaked(flakes, draws.uniform(-135, -45), radius, far)
    layer = averaged(fallen + fallen.flip((-2, -1)), x)
    white = torch.maximum(x, 1.5 * _grey(x) + 0.5)
    return share * x + (1 - share) * white + layer


def frost(x: Tensor, draws: Draws, severity: int) -> Tensor:
    """A drawn veil of ice over the image: as bright, as uneven and as blue as photographs of it."""
    image, ice = _FROST[severity - 1]
    ridges = 1 - (2 * clouds(draws, canvas(x), 1.3) - 1).abs()
    veil = draws.uniform(0.4, 0.85, 1, 1, 1) + 0.27 * (averaged(ridges, x) - 0.67)
    tint = torch.tensor(_ICE if x.shape[1] == 3 else (1.0,)).view(1, -1, 1, 1)
    return image * x + ice * tint * veil


def fog(x: Tensor, draws: Draws, severity: int) -> Tensor:
    """Clouds are added, and all is darkened until it is no brighter than before."""
    thick, decay = _FOG[severity - 1]
    bright = x.amax((1, 2, 3), keepdim=True)
    return (x + thick * averaged(clouds(draws, canvas(x), decay), x)) * bright / (bright + thick)


def brightness(x: Tensor, _: Draws, severity: int) -> Tensor:
    """The value of every colour (its largest channel) is raised, hue and saturation stay."""
    value = x.amax(1, keepdim=True)
    raised = (value + _LIGHT[severity - 1]).clamp_max(1)
    return torch.where(value > 0, x * raised / value.clamp_min(1e-12), raised)


def clouds(draws: Draws, side: int, decay: float) -> Tensor:
    """Fractal clouds (N, 1, side, side) from 0 to 1; the larger the decay, the smoother they are.

    By the diamond-square algorithm, whose edges fit one another.
    """
    heights, rough = torch.zeros(draws.count, 1, 1), 1.0
    while heights.shape[-1] < side:
        heights, rough = _finer(heights, draws, rough), rough / decay**2
    heights = heights[:, None, :side, :side]
    low, high = heights.amin((2, 3), keepdim=True), heights.amax((2, 3), keepdim=True)
    return (heights - low) / (high - low)


def _finer(heights: Tensor, draws: Draws, rough: float) -> Tensor:
    """Twice as many points a side: means of the four around them, and noise."""
    side = heights.shape[-1]
    noise = [draws.uniform(-rough, rough, side, side) for _ in range(3)]
    right = heights + heights.roll(-1, 2)
    middle = (right + right.roll(-1, 1)) / 4 + noise[0]
    finer = heights.repeat_interleave(2, 1).repeat_interleave(2, 2)
    finer[:, 1::2, 1::2] = middle
    finer[:, ::2, 1::2] = (right + middle + middle.roll(1, 1)) / 4 + noise[1]
    below = heights + heights.roll(-1, 1)
    finer[:, 1::2, ::2] = (below + middle + middle.roll(1, 2)) / 4 + noise[2]
    return finer


def _grey(x: Tensor) -> Tensor:
    """How bright the images are, (N, 1, H, W)."""
    if x.shape[1] != 3:
        return x
    return (x * torch.tensor(_LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
