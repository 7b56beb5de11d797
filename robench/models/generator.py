"""A small generator of images, of one class if there are classes: a variational auto-encoder.

Of the generators that fit a laptop it has one loss and one optimiser, and is made to rebuild every
training image; a GAN leaves some out, and is a contest that may fail.
"""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALLEST = 4
"""Side of the maps between codes and convolutions; sides are halved until they are no larger."""


class Generator(nn.Module):
    """Codes, and their classes if there are any, to images (Kingma & Welling 2014, 1312.6114).

    Codes are drawn from a standard normal. Its encoder serves training alone.
    """

    def __init__(
        self, shape: tuple[int, int, int], latent: int, width: int, classes: int = 0
    ) -> None:
        """``shape``: channels, height and width of images; ``width``: channels at full size."""
        super().__init__()
        self.latent, self.classes = latent, classes
        sizes = [shape[1:]]
        while max(sizes[-1]) > SMALLEST:
            sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
        self._sizes = sizes[::-1]
        widths = [width * min(2**level, 4) for level in range(len(sizes))]
        steps = list(itertools.pairwise(widths))
        self._coarse = (widths[-1], *sizes[-1])
        self.stem = nn.Conv2d(shape[0] + classes, width, 3, padding=1)
        self.down = nn.ModuleList(
            nn.Conv2d(fine, coarse, 3, stride=2, padding=1) for fine, coarse in steps
        )
        self.code = nn.Linear(math.prod(self._coarse), 2 * latent)
        self.spread = nn.Linear(latent + classes, math.prod(self._coarse))
        self.up = nn.ModuleList(
            nn.Conv2d(coarse, fine, 3, padding=1) for fine, coarse in reversed(steps)
        )
        self.last = nn.Conv2d(width, shape[0], 3, padding=1)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) in [0, 1] of codes (B, latent), and labels (B,) if it has classes."""
        maps = F.silu(self.spread(self._with(z, y))).unflatten(1, self._coarse)
        for layer, size in zip(self.up, self._sizes[1:], strict=True):
            maps = F.silu(layer(F.interpolate(maps, size=size)))
        return self.last(maps).sigmoid()

    def encode(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance, both (B, latent), of an image's codes."""
        maps = F.silu(self.stem(self._with(x, y)))
        for layer in self.down:
            maps = F.silu(layer(maps))
        mean, log_variance = self.code(maps.flatten(1)).chunk(2, 1)
        return mean, log_variance

    def loss(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """What training lowers: minus the evidence lower bound of an image, up to a constant.

        Pixels are normal around the rebuilt ones; their deviation is the one under which the batch
        is likeliest, so that no weight has to be chosen (Rybkin et al. 2021, arXiv:2006.13202).
        """
        mean, log_variance = self.encode(x, y)
        z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        apart = F.mse_loss(self(z, y), x)
        nearness = (mean.square() + log_variance.exp() - log_variance - 1).sum(1).mean() / 2
        return x[0].numel() / 2 * (apart + 1e-6).log() + nearness

    def _with(self, value: Tensor, y: Tensor | None) -> Tensor:
        """Codes or images with their classes as further entries or maps of ones."""
        if not self.classes:
            return value
        assert y is not None
        known = F.one_hot(y, self.classes).to(value.dtype)
        if value.ndim > 2:
            known = known[..., None, None].expand(-1, -1, *value.shape[2:])
        return torch.cat([value, known], 1)
