"""Pixels as columns of lights, as many of them on as a pixel is bright, before a network."""

import torch
from torch import Tensor, nn

from robench.errors import ConfigError
from robench.models.classifier import Network
from robench.models.detour import Detour


class Thermometer(Detour):
    """Each channel of images in [0, 1] as L channels: the k-th is 1 where x >= k / L, k < L.

    The smooth code is clip(L x - (k - 1), 0, 1), as Athalye et al. attack it (2018, 1802.00420);
    rounded down it is the code itself.
    """

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels

    def exact(self, x: Tensor) -> Tensor:
        """Ones and zeros, (B, channels x L, H, W)."""
        return self.smooth(x).floor()

    def smooth(self, x: Tensor) -> Tensor:
        """The same, with a light in between where a pixel is between two levels."""
        level = torch.arange(self.levels, device=x.device).view(-1, 1, 1)
        return (self.levels * x.unsqueeze(2) - (level - 1)).clamp(0, 1).flatten(1, 2)


def encoded(network: nn.Module, levels: int) -> nn.Module:
    """The same network, with codes in place of images: its first convolution is a new, wider one.

    The code comes in place of normalisation: levels are of pixels in [0, 1], and its lights are
    0 and 1 whatever the data set's mean. Changed in place.

    Raises:
        ConfigError: it is no network of the catalogue's kind, or has no convolution.
    """
    if not isinstance(network, Network):
        raise ConfigError(f"a thermometer code needs a network, not a {type(network).__name__}")
    layers = network.body.named_modules()
    name, first = next(((n, p) for n, p in layers if isinstance(p, nn.Conv2d)), ("", None))
    if first is None:
        raise ConfigError("a thermometer code needs a network with a Conv2d, which this one lacks")
    wider = nn.Conv2d(
        first.in_channels * levels,
        first.out_channels,
        first.kernel_size,  # type: ignore[arg-type]
        first.stride,  # type: ignore[arg-type]
        first.padding,  # type: ignore[arg-type]
        bias=first.bias is not None,
    )
    network.body.set_submodule(name, wider)
    network.body = nn.Sequential(Thermometer(levels), network.body)
    network.mean.zero_()
    network.std.fill_(1)
    return network
