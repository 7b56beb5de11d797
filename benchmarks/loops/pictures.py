"""The data path that people copy: a PIL image at a time, transforms, a DataLoader."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.loops.task import Task

Loader = Iterable[tuple[Tensor, Tensor]]
"""Batches, again and again."""


class Pictures(Dataset[tuple[Tensor, int]]):
    """Images as torchvision's data sets give them: each is made, transformed and handed out."""

    def __init__(self, pixels: Any, labels: list[int], transform: Any) -> None:
        self.pixels, self.labels, self.transform = pixels, labels, transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]


def loader(task: Task) -> Loader:
    """The task's batches; without worker processes, because one core is what is measured."""
    train, recipe = task.data.train, task.recipe
    pixels = train.stored(task.order).permute(0, 2, 3, 1).numpy()
    steps: list[Any] = []
    if recipe.augment != "none":
        steps.append(transforms.RandomCrop(pixels.shape[1:3], padding=recipe.pad))
    if recipe.augment == "crop-flip":
        steps.append(transforms.RandomHorizontalFlip())
    steps.append(transforms.ToTensor())
    if train.scale != 255:
        steps.append(transforms.Lambda(lambda x: x * (255 / train.scale)))
    single = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    pictures = Pictures(
        np.ascontiguousarray(single), train.y[task.order].tolist(), transforms.Compose(steps)
    )
    return DataLoader(pictures, batch_size=recipe.batch_size)


def batches_of(task: Task) -> tuple[Tensor, Tensor]:
    """All images of a turn as one tensor, for trainers that take arrays."""
    x = task.data.train.x(task.order)
    return x, task.data.train.y[task.order].to(torch.int64)
