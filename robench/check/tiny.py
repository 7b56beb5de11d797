"""A task that every method learns in seconds on a CPU; the tests train on it, too."""

from fractions import Fraction

import torch
from torch import Tensor, nn

from robench.data.catalogue import Facts
from robench.data.load import Data, Images
from robench.models.classifier import Classifier
from robench.training.recipe import Recipe

FACTS = Facts(
    summary="four classes of 8x8 colour images: which quarter is bright",
    shape=(3, 8, 8),
    num_classes=4,
    eps={
        "Linf": Fraction(8, 255),
        "L2": Fraction(1, 4),
        "L1": Fraction(2),
        "flow": Fraction(1, 10),
    },
    model="tiny",
)

RECIPE = Recipe(
    epochs=6, batch_size=32, lr=0.05, weight_decay=0.0, schedule="cosine", augment="none",
    normalise=False, validate_every=3, validation_steps=3,
)  # fmt: skip


def data(train: int = 256, validation: int = 64, test: int = 64) -> Data:
    """The task; the same images every time."""
    generator = torch.Generator().manual_seed(0)
    parts = [_images(count, generator) for count in (train, validation, test)]
    return Data("tiny", FACTS, parts[0], parts[1], parts[2], digest="tiny")


def classifier() -> Classifier:
    """Two convolutions with batch normalisation."""
    body = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
    )
    return Classifier(body, nn.Linear(64, 4))


def _images(count: int, generator: torch.Generator) -> Images:
    y = torch.arange(count) % 4
    x = 76 * torch.rand(count, 3, 8, 8, generator=generator)
    x += 128 * _quarters()[y]
    return Images(x.to(torch.uint8), y, 255.0, torch.arange(count))


def _quarters() -> Tensor:
    """One bright quarter each, (4, 1, 8, 8)."""
    quarters = torch.zeros(4, 1, 8, 8)
    for label in range(4):
        top, left = 4 * (label // 2), 4 * (label % 2)
        quarters[label, :, top : top + 4, left : left + 4] = 1
    return quarters
