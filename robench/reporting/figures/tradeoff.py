"""Natural against robust accuracy, and which methods no other beats in both."""

import math
from dataclasses import replace

import pandas as pd

from robench.analysis.summary import Line, Summary
from robench.reporting.charts.chart import Axis, Chart, Series
from robench.reporting.figures.heading import attacked, ball, heading, percents, row

CROWDED = 12
"""Methods above which only those of the front have their names and intervals beside them."""

LETTERS = 0.07
"""How high a line of words is, as a share of the points' range."""


def chart(summary: Summary) -> Chart:
    """A point a method; the Pareto front as a staircase."""
    lines, first = attacked(summary), front(summary)
    several = len(lines) > CROWDED
    rows = [row(line, summary.headline) | {"front": line.label in first} for line in lines]
    points = [_point(summary, line, bare=several and line.label not in first) for line in lines]
    if several:  # to be found among the many
        points = _named(points, first)
    return Chart(
        kind="tradeoff",
        title=heading(summary, "Natural against robust accuracy"),
        x=Axis(label="natural accuracy (%)"),
        y=Axis(label=f"robust accuracy (%), {ball(summary)}"),
        series=(_staircase(summary, first), *points),
        rows=pd.DataFrame(rows),
    )


def front(summary: Summary) -> list[str]:
    """Methods that no other equals in one accuracy and beats in the other; most natural first.

    Negative controls are none: their robust accuracy is known to be an attack's failure.
    """
    lines = [line for line in attacked(summary) if not line.control]
    pairs = {line.label: (line.natural.mean, line.worst[summary.headline].mean) for line in lines}
    found = [
        label
        for label, own in pairs.items()
        if not any(o[0] >= own[0] and o[1] >= own[1] and o != own for o in pairs.values())
    ]
    return sorted(found, key=lambda label: (-pairs[label][0], label))


def _point(summary: Summary, line: Line, *, bare: bool) -> Series:
    natural, worst = line.natural, line.worst[summary.headline]
    said = f"{line.label}: natural {100 * natural.mean:.1f} %, robust {100 * worst.mean:.1f} %"
    point = Series(
        label=line.label,
        of=line.label,
        x=percents([natural.mean]),
        y=percents([worst.mean]),
        low=percents([worst.low]),
        high=percents([worst.high]),
        left=percents([natural.low]),
        right=percents([natural.high]),
        notes=(said,),
    )
    return replace(point, low=(), high=(), left=(), right=()) if bare else point


def _named(points: list[Series], first: list[str]) -> list[Series]:
    """With the names of the front, each above the one before it, where nothing else is."""
    room = LETTERS * (max(p.y[0] for p in points) - min(p.y[0] for p in points))
    own, taken = {point.label: point for point in points}, -math.inf
    for label in first:  # from the lowest up
        point = own[label]
        taken = max(point.y[0], taken + room)
        own[label] = replace(point, said=label, raised=taken - point.y[0])
    return list(own.values())


def _staircase(summary: Summary, first: list[str]) -> Series:
    lines = {line.label: line for line in summary.lines}
    x, y = list[float](), list[float]()
    for label in first:
        natural, worst = lines[label].natural.mean, lines[label].worst[summary.headline].mean
        if x:  # what a method beats reaches up to its natural accuracy
            x.append(natural)
            y.append(y[-1])
        x.append(natural)
        y.append(worst)
    named = "Pareto front" if len(first) > 1 else ""
    return Series(label=named, x=percents(x), y=percents(y), stroke="--", marked=False, faint=True)
