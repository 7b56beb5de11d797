"""A trained cell, and the images that are attacked."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from robench.adversary.attack import right
from robench.reopen import reopen
from robench.store.records import CellFolder


@dataclass(frozen=True)
class Victim:
    """What an attack is given, without its radius."""

    model: nn.Module
    x: Tensor
    """Images (B, C, H, W) that the network gets right."""
    y: Tensor
    eps: float
    """The radius in Linf that it was trained for."""


def victim(weights: Path, data_root: Path, images: int) -> Victim:
    """A cell's best network; those of the first test images that it gets right."""
    cell = reopen(CellFolder(weights), "best", data_root, torch.device("cpu"), test_limit=images)
    model, x, y = cell.model.eval(), cell.data.test.x(), cell.data.test.y
    stands = right(model, x, y)
    return Victim(model, x[stands], y[stands], float(cell.threat.eps))
