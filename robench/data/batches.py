"""Batches of training images that know where their images come from."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from robench.data.load import Images


@dataclass(frozen=True)
class Batch:
    """Training images in [0, 1], their labels, and their positions in the training part."""

    x: Tensor
    """(B, C, H, W), float32."""
    y: Tensor
    """(B,), int64."""
    index: Tensor
    """(B,), int64: the same image has the same index in every epoch."""


def batches(images: Images, size: int, generator: torch.Generator) -> Iterator[Batch]:
    """All images once, in a random order; the last batch may be smaller."""
    order = torch.randperm(len(images), generator=generator).to(images.y.device)
    for index in order.split(size):
        yield Batch(images.x(index), images.y[index], index)
