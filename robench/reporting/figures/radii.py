"""Robust accuracy against the radius, from natural accuracy at 0."""

from collections.abc import Iterator
from fractions import Fraction

import pandas as pd

from robench.analysis.summary import Line, Summary
from robench.reporting.charts.chart import Axis, Chart, Rule, Series
from robench.reporting.figures.heading import estimates, heading, percents, row

SINGLE = 4
"""Methods up to which every attack has a line of its own."""


def chart(summary: Summary) -> Chart | None:
    """The worst case by radius; none where a single radius was attacked."""
    if len([eps for eps in summary.radii if eps != "0"]) < 2:
        return None
    series = [_envelope(line) for line in summary.lines]
    if len(summary.lines) <= SINGLE:
        series = [one for line in summary.lines for one in _attacks(line)] + series
    same = summary.shared["train_norm"] == summary.shared["norm"]
    trained = float(Fraction(str(summary.shared["train_eps"])))
    radii = apart(["0", *(eps for eps in summary.radii if eps != "0")])
    rows = [row(line, eps) for line in summary.lines for eps in _radii(line)]
    return Chart(
        kind="curve",
        title=heading(summary, "Robust accuracy against the radius"),
        x=Axis(
            label=f"eps ({summary.shared['norm']})",
            ticks=tuple((float(Fraction(eps)), eps) for eps in radii),
        ),
        y=Axis(label="robust accuracy (%)", low=0),
        series=tuple(series),
        rules=(Rule(along="x", at=trained, label="trained here"),) if same else (),
        rows=pd.DataFrame(rows),
    )


def apart(radii: list[str]) -> list[str]:
    """Those whose labels have room between each other."""
    kept: list[str] = []
    for eps in radii:
        if not kept or Fraction(eps) - Fraction(kept[-1]) >= Fraction(radii[-1]) / 14:
            kept.append(eps)
    return kept


def _radii(line: Line) -> list[str]:
    return sorted({"0", *line.worst}, key=Fraction)


def _envelope(line: Line) -> Series:
    points = {"0": line.natural, **line.worst}
    at = [float(Fraction(eps)) for eps in _radii(line)]
    found = [points[eps] for eps in _radii(line)]
    if len(at) > 2:
        return estimates(line.label, line.label, at, found, stroke="-", band=True)
    return estimates(line.label, line.label, at, found, stroke=":")  # unknown between the two


def _attacks(line: Line) -> Iterator[Series]:
    """What each attack and those before it leave, thin."""
    names = dict.fromkeys(name for at in line.after.values() for name in at)
    for name in list(names)[:-1]:  # after the last one stands the worst case
        radii = [eps for eps in _radii(line) if name in line.after.get(eps, {})]
        if len(radii) > 1:
            y = percents(line.after[eps][name].mean for eps in radii)
            x = tuple(float(Fraction(eps)) for eps in radii)
            yield Series(of=line.label, x=x, y=y, stroke="-", marked=False, faint=True)
