"""Random transforms of images: masks of blocks and Gaussian noise, drawn for each image."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from msgspec import Meta
from torch import Tensor

from robench.errors import ConfigError

CELLS = 8
"""Blocks in a row and in a column: 32 of 256 pixels, 1 of 8, 4 of 32, 3 or 4 of 28."""


@dataclass(frozen=True)
class Drawn:
    """What one draw does to a batch of images; the same draw may serve several batches."""

    noise: Tensor
    """(B, C, H, W), added before anything is hidden."""
    masks: Tensor
    """(N, B, 1, H, W), 1 where a block is hidden; N is 1 but in rt3."""

    def noisy(self, x: Tensor) -> Tensor:
        """Images in [0, 1] with the noise, cut to [0, 1] again."""
        return (x + self.noise).clamp(0, 1)


@dataclass(frozen=True, kw_only=True)
class Transform:
    """rt1 hides random blocks, rt2 does so under noise, rt3 hides every block in one of N views.

    The three of AToP (Lin et al. 2024, arXiv:2401.16352), with its authors' noise and masks.
    """

    name: Literal["rt1", "rt2", "rt3"] = "rt2"
    """Masks; noise and masks; noise and 1/rate disjoint masks, each hole filled on its own."""
    sigma: Annotated[float, Meta(ge=0, le=1)] = 0.25
    """Standard deviation of the noise of rt2 and rt3, in [0, 1] pixel units."""
    rate: Annotated[float, Meta(gt=0, lt=1)] = 0.25
    """Share of the blocks that a mask hides; rt3 has 1/rate masks."""

    def __post_init__(self) -> None:
        """Refuse masks that cannot share the blocks out."""
        if self.name == "rt3" and not (1 / self.rate).is_integer():
            raise ConfigError(f"rt3 has 1/rate masks; rate={self.rate:g} is no 1/N")

    @property
    def views(self) -> int:
        """Masks an image."""
        return round(1 / self.rate) if self.name == "rt3" else 1

    def draw(self, x: Tensor) -> Drawn:
        """Fresh masks and noise for each image (B, C, H, W), from torch's generator."""
        noise = torch.zeros_like(x) if self.name == "rt1" else self.sigma * torch.randn_like(x)
        rows, columns = (_cells(side, x.device) for side in x.shape[2:])
        count = min(CELLS, x.shape[2]) * min(CELLS, x.shape[3])
        # Sorting noise gives each image's blocks a random order without a loop over images.
        order = torch.rand(len(x), count, device=x.device).argsort(1)
        if self.name == "rt3":
            hidden = torch.stack([order % self.views == view for view in range(self.views)])
        else:
            hidden = (order < round(self.rate * count))[None]
        blocks = hidden.to(x.dtype).unflatten(2, (-1, min(CELLS, x.shape[3])))
        return Drawn(noise, blocks[:, :, rows][..., columns].unsqueeze(2))


def _cells(side: int, device: torch.device) -> Tensor:
    """The block that each row, or column, lies in: sides that 8 does not divide get two sizes."""
    return torch.arange(side, device=device) * min(CELLS, side) // side
