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


def shuffled(images: Images, generator: torch.Generator) -> Tensor:
    """The order, (N,), in which an epoch sees all images once."""
    return torch.randperm(len(images), generator=generator)


def batches(images: Images, order: Tensor, size: int, start: int = 0) -> Iterator[Batch]:
    """Images in an order, from a batch on; the last batch may be smaller."""
    for index in order.to(images.y.device).split(size)[start:]:
        yield Batch(images.x(index), images.y[index], index)
