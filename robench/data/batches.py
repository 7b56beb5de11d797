"""Batches of training images that know where their images come from."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from robench.data.files import Files
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
    """Images in an order, from a batch on; the last batch may be smaller.

    Of files the next batch is read while this one is worked on.
    """
    parts = order.to(images.y.device).split(size)[start:]
    read = _ahead(images, parts) if isinstance(images.pixels, Files) else map(images.x, parts)
    for index, x in zip(parts, read, strict=True):
        yield Batch(x, images.y[index], index)


def _ahead(images: Images, parts: Sequence[Tensor]) -> Iterator[Tensor]:
    with ThreadPoolExecutor(1) as reader:
        waiting = [reader.submit(images.x, part) for part in parts[:1]]
        for part in parts[1:]:
            waiting.append(reader.submit(images.x, part))
            yield waiting.pop(0).result()
        yield from (last.result() for last in waiting)
