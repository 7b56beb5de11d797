"""Random crops and flips of a whole batch at once, an own draw for every image."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Augmentation = Literal["none", "crop", "crop-flip"]
Padding = Literal["zero", "reflect"]


def augment(
    x: Tensor, kind: Augmentation, pad: int, padding: Padding, generator: torch.Generator
) -> Tensor:
    """Shift by up to ``pad`` pixels and mirror half of the images, (B, C, H, W) to the same.

    ``generator`` lives on the CPU whatever the images' device, so that a seed means the same
    augmentation everywhere.
    """
    if kind == "none":
        return x
    count, channels, height, width = x.shape
    top = torch.randint(0, 2 * pad + 1, (count, 1), generator=generator)
    left = torch.randint(0, 2 * pad + 1, (count, 1), generator=generator)
    mirrored = torch.rand(count, 1, generator=generator) < 0.5
    rows = top + torch.arange(height)
    columns = left + torch.arange(width)
    if kind == "crop-flip":
        columns = torch.where(mirrored, columns.flip(1), columns)
    padded = F.pad(x, (pad,) * 4, mode="constant" if padding == "zero" else "reflect")
    rows, columns = (places.to(x.device, non_blocking=True) for places in (rows, columns))
    image = torch.arange(count, device=x.device)[:, None, None, None]
    channel = torch.arange(channels, device=x.device)[:, None, None]
    return padded[image, channel, rows[:, None, :, None], columns[:, None, None, :]]
