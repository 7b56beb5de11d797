"""What a record has to hold before anything believes it: all that tables and figures rely on.

Fields beyond these are allowed; what a record says of itself while it is running is not looked at.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from robench.errors import ConfigError
from robench.radius import Norm, parse_eps
from robench.store.cell import Kept

Count = Annotated[int, Meta(ge=0, lt=2**53)]
Amount = Annotated[float, Meta(ge=0, lt=1e18)]
Number = Annotated[float, Meta(gt=-1e18, lt=1e18)]
Share = Annotated[float, Meta(ge=0, le=1)]
Limit = Annotated[int, Meta(ge=1, lt=2**53)] | None
Verdict = Literal["full", "audited", "stochastic", "upper-bound", "none"]


class _Shape(msgspec.Struct, frozen=True):
    """A part of a record."""


class Environment(_Shape, frozen=True):
    """Who computed it."""

    device: str
    torch: str


class OfCell(_Shape, frozen=True):
    """What a cell's key is made of."""

    method: str
    plugin: str
    settings: dict[str, Any]
    recipe: dict[str, Any]
    dataset: str
    data: str
    train_limit: Limit
    model: str
    norm: Norm
    eps: str
    seed: Annotated[int, Meta(ge=0, lt=2**32)]

    def __post_init__(self) -> None:
        _check_radii(self.norm, self.eps)


class OfEvaluation(_Shape, frozen=True):
    """What an evaluation's key is made of."""

    cell: str
    checkpoint: Kept
    suite: str
    plugin: str
    attacks: list[Any]
    rules: dict[str, Any]
    packages: str
    when_random: dict[str, Any] | None
    norm: Norm
    eps: str
    test_limit: Limit
    sweep: list[str]

    def __post_init__(self) -> None:
        _check_radii(self.norm, self.eps, *self.sweep)


class Begun(_Shape, frozen=True):
    """Every record."""

    key: str
    status: Literal["running", "ok", "failed", "diverged"]
    reason: str
    started: str
    environment: Environment


class Trouble(_Shape, frozen=True):
    """What went wrong in training."""

    flag: str
    epoch: Count
    detail: str


class Saved(_Shape, frozen=True):
    """What its work goes on from."""

    file: str
    sha256: str
    format: int


class Cell(Begun, frozen=True):
    """A cell's record, whatever came of it."""

    identity: OfCell
    label: str
    changes: dict[str, str]
    deviates: str
    select_on: str
    shared: dict[str, Any]
    troubles: list[Trouble] = []
    seconds: Amount | None = None
    forwards: Count | None = None
    backwards: Count | None = None
    peak_mb: Amount | None = None
    curve: list[str] | None = None
    saved: Saved | None = None
    control: str = ""


class Recognised(_Shape, frozen=True):
    """How many of the first validation images it classifies rightly."""

    images: Count
    right: Count


class Checkpoint(_Shape, frozen=True):
    """Weights that were kept."""

    epoch: Count
    sha256: str
    recognised: Recognised | None = None


class Checkpoints(_Shape, frozen=True):
    """Both of them."""

    best: Checkpoint
    last: Checkpoint


class Trained(Cell, frozen=True, kw_only=True):
    """A cell's record when all is there."""

    checkpoints: Checkpoints


class Evaluation(Begun, frozen=True):
    """An evaluation's record, whatever came of it."""

    identity: OfEvaluation
    cell: str
    weights: str
    epoch: Count
    verdict: Verdict
    saved: Saved | None = None
    note: str = ""


class Failed(Evaluation, frozen=True, kw_only=True):
    """An evaluation's record when there are no outcomes."""

    seconds: Amount


class Audit(_Shape, frozen=True):
    """What an audit looked at."""

    looked: Count
    bound: Share


class Finding(_Shape, frozen=True):
    """What came of a masking flag."""

    status: Literal["ok", "up", "unknown"]
    detail: str


class Cost(_Shape, frozen=True):
    """What an attack spent."""

    seconds: Amount
    forwards: Count
    backwards: Count
    peak_mb: Amount


class Value(_Shape, frozen=True):
    """A number that a measure found."""

    name: str
    value: Number | None
    n: Count
    low: Number | None
    high: Number | None


class Labels(_Shape, frozen=True):
    """What a curve's axes are."""

    x: str
    y: str


class Reading(_Shape, frozen=True):
    """What a measure found."""

    values: list[Value]
    curves: dict[str, Labels]


class Shown(_Shape, frozen=True):
    """Of how many of the first images there is what broke them, and of how many that did."""

    first: Annotated[int, Meta(ge=1, lt=2**53)]
    fell: Count
    sha256: str


class Attacked(Evaluation, frozen=True, kw_only=True):
    """An evaluation's record when all is there."""

    n: Annotated[int, Meta(ge=1, lt=2**53)]
    stands: dict[str, Count]
    order: list[str]
    carried: Count
    audit: Audit | None
    findings: dict[str, Finding]
    costs: dict[str, Cost]
    probing: Cost | None = None
    outcomes: str
    measures: dict[str, Reading] = {}
    images: Shown | None = None

    def __post_init__(self) -> None:
        counts = [self.stands.get(name, -1) for name in self.order]
        if self.order[:1] != ["natural"] or len(counts) != len(self.stands):
            raise ValueError("its attacks are not those of its order")
        if counts != sorted(counts, reverse=True) or not 0 <= counts[-1] <= counts[0] <= self.n:
            raise ValueError("more images stand than there are")
        if self.verdict != "none" and not set(self.order) <= self.costs.keys():
            raise ValueError("an attack without its costs")


def problem(record: object, *, of_cell: bool) -> str:
    """What in a record is not as it should be, and where; empty: nothing."""
    try:
        begun = msgspec.convert(record, Begun)
        msgspec.convert(record, _shape(begun.status, of_cell=of_cell))
    except msgspec.ValidationError as error:
        return str(error)
    return ""


def _shape(status: str, *, of_cell: bool) -> type[Begun]:
    if of_cell:
        return Trained if status == "ok" else Cell
    if status == "running":
        return Evaluation
    return Attacked if status == "ok" else Failed


def _check_radii(norm: Norm, *radii: str) -> None:
    try:
        for eps in radii:
            parse_eps(eps, norm)
    except ConfigError as error:
        raise ValueError(str(error)) from error
