"""Rounds: one run of every side with the same seed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from benchmarks.parity.sides import Budget

Side = Callable[[int], tuple[Tensor, str]]
"""A seed to the images that stand, and a remark."""


@dataclass(frozen=True)
class Contest:
    """Runs that take turns; the first is the package's."""

    what: str
    budget: Budget
    sides: Mapping[str, Side]
    exact: Side
    """robench's without its faster copy: whether a difference comes from that copy's rounding."""
    origin: tuple[int, ...]
    """Positions of the images among the test images."""
    least: int = 1
    """Rounds that are always run."""


@dataclass(frozen=True)
class Measured:
    """One run of one side."""

    cpu: float
    wall: float
    """Seconds: of this process on a core, and by the clock."""
    stands: tuple[bool, ...]
    note: str = ""


@dataclass(frozen=True)
class Round:
    """One run of each side with the same seed."""

    seed: int
    sides: Mapping[str, Measured]
