"""What a run says while it goes on; reporters turn it into bars, lines or JSON."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Started:
    """A run begins."""

    cells: int
    trainings: int
    evaluations: int


@dataclass(frozen=True)
class Training:
    """A cell begins to train."""

    cell: str
    label: str
    epochs: int


@dataclass(frozen=True)
class Epoch:
    """An epoch ended."""

    cell: str
    epoch: int
    epochs: int
    stage: str
    lr: float
    loss: float
    validation_natural: float | None
    validation_robust: float | None
    seconds: float
    forwards: int
    backwards: int
    log: dict[str, float]


@dataclass(frozen=True)
class Evaluating:
    """A checkpoint begins to be attacked."""

    cell: str
    label: str
    images: int


@dataclass(frozen=True)
class Attacked:
    """An attack ended on some of its images."""

    cell: str
    attack: str
    eps: str
    stand: int | None
    """Images that stand at this radius so far; None: something else was measured."""
    seen: int
    images: int
    """How many it attacks, those that stand before it."""


@dataclass(frozen=True)
class Finished:
    """A training or an evaluation ended."""

    cell: str
    label: str
    status: str
    summary: str
    seconds: float
    dropped: int = 0
    """Evaluations that there is nothing to attack for."""
    traceback: str = ""
    """Where a failure comes from."""


@dataclass(frozen=True)
class Warned:
    """Something a person should know."""

    text: str


Event = Started | Training | Epoch | Evaluating | Attacked | Finished | Warned
Tell = Callable[[Event], None]
