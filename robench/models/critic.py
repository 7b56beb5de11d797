"""A critic that tells rebuilt images from real ones, and the contest between the two."""

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from robench.models.frozen import frozen


def contest(critic: nn.Module, real: Tensor, rebuilt: Tensor, weight: float) -> Tensor:
    """One number that both lower, each by gradients of its own: hinge loss (arXiv:1705.02894).

    The critic scores real images over 1 and rebuilt ones under -1; what rebuilt them raises their
    score, with a weight.
    """
    with frozen(critic):
        fooled = critic(rebuilt).mean()
    apart = F.relu(1 - critic(real)) + F.relu(1 + critic(rebuilt.detach()))
    return apart.mean() - weight * fooled


def patch_critic(channels: int, width: int) -> nn.Module:
    """A score for each patch of an image, (B, 1, h, w), by weights of spectral norm one."""
    widths = (channels, width, 2 * width, 2 * width)
    layers: list[nn.Module] = []
    for number in range(3):
        stride = 1 if number == 0 else 2
        convolution = nn.Conv2d(widths[number], widths[number + 1], 3, stride, padding=1)
        layers += [spectral_norm(convolution), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, spectral_norm(nn.Conv2d(widths[-1], 1, 3, padding=1)))
