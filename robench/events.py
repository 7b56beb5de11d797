"""What a run says while it goes on; reporters turn it into bars, lines or JSON."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, get_args

import msgspec


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


@dataclass(frozen=True)
class Working:
    """Nothing has happened for a while, and it goes on."""

    cells: dict[str, str]
    """What is worked on, and how far each is."""
    minutes: float
    """Since the run began."""


Event = Started | Training | Epoch | Evaluating | Attacked | Finished | Warned | Working
Tell = Callable[[Event], None]


def to_plain(event: Event) -> dict[str, Any]:
    """An event as JSON has it: null stands for numbers that are not finite."""
    said = {name: _finite(value) for name, value in asdict(event).items()}
    return {"event": type(event).__name__.lower(), **said}


def from_plain(said: dict[str, Any]) -> Event | None:
    """An event back from what ``to_plain`` made; none: it is no event."""
    known = {kind.__name__.lower(): kind for kind in get_args(Event)}
    kind = known.get(str(said.get("event")))
    if kind is Epoch and said.get("loss") is None:
        said = said | {"loss": math.nan}
    try:
        event: Event | None = msgspec.convert(said, kind) if kind else None
    except msgspec.ValidationError:
        return None
    return event


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(inside) for name, inside in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
