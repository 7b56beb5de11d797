"""What a figure shows, before anything is drawn."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

Stroke = Literal["", "-", "--", ":", "-."]
"""As matplotlib writes them; empty: points are not joined."""

Scale = Literal["linear", "log", "counts"]
"""``counts``: logarithmic, with ticks as 500k and 1M."""

Numbers = tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Series:
    """Points of one colour."""

    label: str = ""
    """In the legend; empty: it is not there."""
    of: str = ""
    """Whose colour and marker it has, by the label of a method; empty: it is grey."""
    x: Numbers
    y: Numbers
    low: Numbers = ()
    """Interval of each y, from here to ``high``; empty: there is none."""
    high: Numbers = ()
    left: Numbers = ()
    """Interval of each x, from here to ``right``."""
    right: Numbers = ()
    stroke: Stroke = ""
    marked: bool = True
    """Whether points have their method's marker."""
    band: bool = False
    """Whether the interval of y is a band rather than bars."""
    faint: bool = False
    """For what stands beside what the figure is about."""
    said: str = ""
    """Beside its first point."""
    raised: float = 0.0
    """How far above that point it stands, as y counts."""
    notes: tuple[str, ...] = ()
    """What the page says of each point when asked; empty: its numbers."""

    def finite(self) -> "Series":
        """Without points that have no place: what a training that diverged has logged."""
        columns = (self.x, self.y, self.low, self.high, self.left, self.right)
        kept = [at for at in range(len(self.x)) if all(isfinite(of[at]) for of in columns if of)]
        x, y, low, high, left, right = (tuple(of[at] for at in kept if of) for of in columns)
        notes = tuple(self.notes[at] for at in kept if self.notes)
        return replace(self, x=x, y=y, low=low, high=high, left=left, right=right, notes=notes)


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A scale and its words."""

    label: str = ""
    low: float | None = None
    """Where it begins; none: where the data do."""
    high: float | None = None
    scale: Scale = "linear"
    ticks: tuple[tuple[float, str], ...] = ()
    """Where ticks are to be, and what they say; empty: as suits the scale."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A line through the whole figure."""

    along: Literal["x", "y", "diagonal"]
    """``y``: a level; ``x``: upright; ``diagonal``: where both axes say the same."""
    at: float = 0.0
    label: str = ""
    of: str = ""
    """Whose colour; a rule of a method is named in the legend, others where they stand."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Series between two axes."""

    kind: str
    """How its files begin: ``tradeoff``."""
    title: str
    """One line or two."""
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    rules: tuple[Rule, ...] = ()
    shaded: tuple[tuple[float, float], ...] = ()
    """Parts of the y axis on a grey ground."""
    wide: bool = False
    """Two columns of a paper rather than one."""
    height: float = 2.5
    """Of the axes with their words, in inches; the legend comes on top."""
    rows: pd.DataFrame = field(compare=False, repr=False, default_factory=pd.DataFrame)
    """The numbers behind it."""

    @property
    def of(self) -> list[str]:
        """Labels of the methods in it."""
        of = [series.of for series in self.series] + [rule.of for rule in self.rules]
        return list(dict.fromkeys(label for label in of if label))


@dataclass(frozen=True, kw_only=True)
class Panels:
    """Small charts side by side, on the same scale of y."""

    kind: str
    title: str
    charts: tuple[Chart, ...]
    """Each is named by its title."""
    rows: pd.DataFrame = field(compare=False, repr=False, default_factory=pd.DataFrame)

    @property
    def of(self) -> list[str]:
        """Labels of the methods in it."""
        return list(dict.fromkeys(label for chart in self.charts for label in chart.of))


@dataclass(frozen=True, kw_only=True, eq=False)
class Heat:
    """Percentages in a matrix."""

    kind: str
    title: str
    across: str
    """What the columns are."""
    down: str
    columns: tuple[str, ...]
    names: tuple[str, ...]
    """Of the rows."""
    values: npt.NDArray[np.float64]
    """(rows, columns), in per cent; NaN: there is none."""
    framed: tuple[tuple[int, int], ...] = ()
    """Places, as row and column, that stand out."""
    parted: int = 0
    """Rows above a gap."""
    rows: pd.DataFrame = field(repr=False, default_factory=pd.DataFrame)

    @property
    def of(self) -> list[str]:
        """Nobody's colours."""
        return []


@dataclass(frozen=True, kw_only=True, eq=False)
class Pictures:
    """Images in rows and columns."""

    kind: str
    title: str
    names: tuple[str, ...]
    """Of the rows."""
    columns: tuple[str, ...]
    """Above each column, in one line or several."""
    pixels: npt.NDArray[np.float32]
    """(rows, columns, channels, height, width) in [0, 1]; one channel is grey."""
    rows: pd.DataFrame = field(repr=False, default_factory=pd.DataFrame)

    @property
    def of(self) -> list[str]:
        """Nobody's colours."""
        return []

    def shown(self, row: int, column: int) -> npt.NDArray[np.float32]:
        """One image as (height, width, 3): grey, or in its first three colours."""
        picture = self.pixels[row, column]
        three = picture[:3] if len(picture) >= 3 else picture[:1].repeat(3, 0)
        return np.moveaxis(three, 0, -1).clip(0, 1)


Figure = Chart | Panels | Heat | Pictures


def values(found: Iterable[float]) -> Numbers:
    """Numbers of any kind as plain ones."""
    return tuple(map(float, found))
