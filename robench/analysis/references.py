"""Published figures, and what was measured under the same threat on the same data and network."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from robench.analysis.summary import Estimate, Line, Summary
from robench.errors import ConfigError
from robench.printable import printable
from robench.radius import Norm, parse_eps
from robench.store.grid import read_config, split

OURS = Path(__file__).with_name("references.toml")
"""The figures that come with robench."""

_DIGESTS = re.compile(r"( @\w+)+$")
"""What a table puts behind a label where two versions of a method stand in it."""

Percent = Annotated[float, Meta(ge=0, le=100)]
Text = Annotated[str, Meta(pattern=r"\S")]
Strength = Literal["alike", "weaker", "stronger", "unlike"]


class Published(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table ``[[published]]``: the accuracies, in per cent, of one network under one attack."""

    method: Text
    """As tables name it, with its settings."""
    dataset: Text
    model: Text
    norm: Norm
    eps: Text
    """The radius attacked."""
    train_norm: Norm | None = None
    """Of the ball trained in; none: the one attacked."""
    train_eps: str = ""
    """Its radius; empty: the one attacked."""
    attack: str = ""
    """What left the robust accuracy."""
    verdict: Literal["full", "stochastic", "upper-bound"] = "upper-bound"
    """What a suite of that attack would give: AutoAttack or more is ``full``."""
    natural: Percent | None = None
    robust: Percent | None = None
    n: Annotated[int, Meta(ge=1)] | None = None
    """Test images, where the source says."""
    source: Text
    """Paper and table, file or entry."""
    conditions: str = ""
    """How it was come by, where that differs or matters."""

    def __post_init__(self) -> None:
        """Refuse radii that are none, and an entry without a figure or its attack."""
        try:
            self.balls()
            split(self.method)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        if math.isnan(self.natural or 0) or math.isnan(self.robust or 0):
            raise ValueError(f"{self.method} has an accuracy that is no number")
        if self.natural is None and self.robust is None:
            raise ValueError(f"{self.method} has neither a natural nor a robust accuracy")
        if self.robust is not None and not self.attack.strip():
            raise ValueError(f"{self.method} has a robust accuracy and no attack that left it")

    def balls(self) -> tuple[tuple[Norm, Fraction], tuple[Norm, Fraction]]:
        """Norm and radius that were attacked, and that were trained in."""
        trained = self.train_norm or self.norm
        eps = parse_eps(self.eps, self.norm), parse_eps(self.train_eps or self.eps, trained)
        return (self.norm, eps[0]), (trained, eps[1])


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    published: list[Published]


@dataclass(frozen=True)
class Beside:
    """A published entry, and the line of a table that it is about, at a radius attacked."""

    published: Published
    summary: Summary
    line: Line
    eps: str
    """As the table writes it."""

    @property
    def natural(self) -> Estimate:
        """Measured, a share."""
        return self.line.natural

    @property
    def robust(self) -> Estimate:
        """Measured, a share: what stands against the whole suite."""
        return self.line.worst[self.eps]

    @property
    def natural_points(self) -> float | None:
        """Claimed minus measured; none where nothing is claimed."""
        return _points(self.published.natural, self.natural)

    @property
    def robust_points(self) -> float | None:
        """The same of robust accuracy."""
        return _points(self.published.robust, self.robust)

    @property
    def strength(self) -> Strength:
        """Of the published attack beside the measured suite; unlike where nothing can be said."""
        theirs, ours = self.published.verdict, str(self.summary.shared["verdict"])
        ours = "full" if ours == "audited" else ours
        if "upper-bound" not in (theirs, ours):
            return "alike" if theirs == ours else "unlike"
        if theirs == ours:
            return "unlike"
        return "weaker" if theirs == "upper-bound" else "stronger"


def read_published(results: Path | None = None) -> list[Published]:
    """Figures that come with robench, and those of a results folder's own ``references.toml``.

    Raises:
        ConfigError: a file is no TOML, or an entry is not as it should be.
    """
    own = [results / OURS.name] if results is not None else []
    found = [entry for path in (OURS, *own) if path.is_file() for entry in _read(path)]
    return list(dict.fromkeys(found))


def references(summary: Summary, published: Iterable[Published]) -> list[Beside]:
    """What is published of a table's lines, in their order and that of the radii.

    Method with its settings, data set, network, norm and radius of the attack and of training have
    to be the same; else there is nothing to compare. The recipe need not be.
    """
    shared = summary.shared
    entries = [one for one in published if (one.dataset, one.model) == _place(shared)]
    return [
        Beside(one, summary, line, eps)
        for line in summary.lines
        for eps in summary.radii
        if eps in line.worst
        for one in entries
        if _named(one.method) == _named(line.label) and one.balls() == _balls(shared, eps)
    ]


def _read(path: Path) -> list[Published]:
    try:
        return [_printable(one) for one in msgspec.convert(read_config(path), _File).published]
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {printable(str(error))}") from error


def _printable(one: Published) -> Published:
    """Each text on a line of its own, without what a terminal would obey."""
    texts = {
        name: printable(" ".join(value.split()))
        for name, value in msgspec.structs.asdict(one).items()
        if isinstance(value, str)
    }
    return msgspec.structs.replace(one, **texts)


def _place(shared: dict[str, object]) -> tuple[object, object]:
    return shared["dataset"], shared["model"]


def _balls(shared: dict[str, object], eps: str) -> tuple[tuple[object, Fraction], ...]:
    """As an entry has them; none where a record from elsewhere has no radius that can be read."""
    pairs = (shared["norm"], eps), (shared["train_norm"], str(shared["train_eps"]))
    try:
        # What a norm allows was seen to when the grid was read: any norm will do here.
        return tuple((norm, parse_eps(radius, "L2")) for norm, radius in pairs)
    except ConfigError:
        return ()


def _named(label: str) -> tuple[str, tuple[str, ...]]:
    """A method and its settings, in any order and without digests."""
    name, _, inside = _DIGESTS.sub("", label).partition("[")
    try:
        return name.strip(), tuple(sorted(split(inside.removesuffix("]"))))
    except ConfigError:  # the label of a record from elsewhere
        return name, (inside,)


def _points(claimed: float | None, measured: Estimate) -> float | None:
    return None if claimed is None else claimed - 100 * measured.mean
