"""From numbers to places on the screen."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator

from robench.reporting.charts.chart import Axis, Chart, Numbers


@dataclass(frozen=True)
class Scale:
    """From ``low`` at ``first`` to ``high`` at ``last``; y runs downwards."""

    low: float
    high: float
    first: float
    last: float
    logarithmic: bool
    ticks: tuple[tuple[float, str], ...]
    named: bool
    """Whether the ticks are names rather than numbers."""

    def at(self, value: float) -> float:
        """The place of a number; what lies outside is put at the edge."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        share = (self._scaled(value) - low) / (high - low)
        return self.first + min(max(share, 0.0), 1.0) * (self.last - self.first)

    def room(self) -> float:
        """What the ticks' words need beside the axis."""
        return 5.6 * max((min(len(name), 26) for _, name in self.ticks), default=0) + 6

    def _scaled(self, value: float) -> float:
        return math.log10(max(value, 1e-300)) if self.logarithmic else value


def across(chart: Chart, first: float, last: float) -> Scale:
    """The scale of a chart's x."""
    found = [(s.x, s.left, s.right) for s in chart.series]
    most = max(2, int((last - first) / 42))
    extra = [rule.at for rule in chart.rules if rule.along == "x"]
    return _scale(chart.x, _reach(found, extra), first, last, most)


def down(chart: Chart, first: float, last: float) -> Scale:
    """The scale of a chart's y, from the bottom up."""
    found = [(s.y, s.low, s.high) for s in chart.series]
    extra = [rule.at for rule in chart.rules if rule.along == "y"]
    return _scale(chart.y, _reach(found, extra), first, last, max(2, int((first - last) / 40)))


def number(value: float) -> str:
    """As a person reads it: 63.3, 0.1875, 1.2M."""
    if abs(value) < 1e5:
        return f"{value:.4g}"
    return str(EngFormatter(sep="")(float(f"{value:.3g}")))


def _reach(found: Iterable[tuple[Numbers, ...]], extra: Iterable[float]) -> tuple[float, float]:
    every = [value for parts in found for part in parts for value in part]
    every = [value for value in [*every, *extra] if math.isfinite(value)]
    return (min(every), max(every)) if every else (0.0, 1.0)


def _scale(axis: Axis, reach: tuple[float, float], first: float, last: float, most: int) -> Scale:
    logarithmic = axis.scale != "linear" and reach[0] > 0
    low, high = _padded(*reach, logarithmic=logarithmic)
    low = low if axis.low is None else axis.low
    high = high if axis.high is None else axis.high
    ticks = axis.ticks or tuple((v, number(v)) for v in _ticks(low, high, most, logarithmic))
    named = bool(axis.ticks)
    between = tuple((v, n) for v, n in ticks if min(low, high) <= v <= max(low, high))
    return Scale(low, high, first, last, logarithmic, between, named)


def _padded(low: float, high: float, *, logarithmic: bool) -> tuple[float, float]:
    """With some air on both sides; a single number has as much around it as it is large."""
    if logarithmic:
        air = (high / low) ** 0.05 if high > low else 2.0
        return low / air, high * air
    air = 0.05 * (high - low) or abs(high) or 1.0
    return low - air, high + air


def _ticks(low: float, high: float, most: int, logarithmic: bool) -> list[float]:
    if logarithmic:
        subs = (1, 1.5, 2, 3, 4, 6) if high < 10 * low else (1, 2, 5) if high < 1e3 * low else (1,)
        return list(map(float, LogLocator(subs=subs).tick_values(low, high)))
    return list(map(float, MaxNLocator(most, steps=[1, 2, 5, 10]).tick_values(low, high)))
