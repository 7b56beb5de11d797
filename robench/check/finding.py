"""What a check says, and what it compares."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Check = Callable[[], str]
"""Looks at one thing; returns what is wrong with it, or nothing."""


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    what: str
    problem: str
    """Empty when all is well."""


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    """Copies of all weights and statistics."""
    return {name: value.clone() for name, value in model.state_dict().items()}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
