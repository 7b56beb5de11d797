"""Natural and robust accuracy against a setting of which a table has several values."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import pandas as pd

from robench.analysis.summary import Line, Summary
from robench.names import in_a_file_name
from robench.reporting.charts.chart import Axis, Chart, Rule, Series
from robench.reporting.figures.heading import ball, estimates, heading, percents

LEAST = 3
"""Values that make a sweep."""

BESIDE = 4
"""Other methods that are drawn for comparison, if there are no more."""


@dataclass(frozen=True)
class Sweep:
    """Lines of one method that differ in one setting alone, whose values are numbers."""

    label: str
    """The method, with the settings that they share."""
    setting: str
    lines: tuple[tuple[float, Line], ...]
    """By ascending value."""


def sweeps(summary: Summary) -> list[Sweep]:
    """Every sweep of a table; a grid of two settings holds one for each value of the other."""
    families: dict[tuple[str, str], dict[float, Line]] = {}
    for line in summary.lines:
        if summary.headline in line.worst:
            for label, setting, value in _places(line.label):
                families.setdefault((label, setting), {})[value] = line
    return [
        Sweep(label, setting, tuple(sorted(found.items())))
        for (label, setting), found in sorted(families.items())
        if len(found) >= LEAST
    ]


def _places(label: str) -> Iterator[tuple[str, str, float]]:
    """For each setting that is a number: the label without it, its name, its value."""
    parts = re.fullmatch(r"([^\[]+)\[(.*)\](.*)", label)
    if parts is None:
        return
    method, inside, version = parts.groups()
    settings = inside.split(",")
    for at, setting in enumerate(settings):
        name, _, value = setting.partition("=")
        try:
            number = float(Fraction(value))
        except (ValueError, ArithmeticError):
            continue
        rest = ",".join(settings[:at] + settings[at + 1 :])
        yield method + f"[{rest}]" * bool(rest) + version, name, number


def charts(summary: Summary) -> list[Chart]:
    """A figure for each setting that is swept, with the table's other methods as levels."""
    found = sweeps(summary)
    by_setting = {
        s.setting: [other for other in found if other.setting == s.setting] for s in found
    }
    return [_chart(summary, setting, several) for setting, several in by_setting.items()]


def _chart(summary: Summary, setting: str, several: list[Sweep]) -> Chart:
    swept = {line.label for sweep in several for _, line in sweep.lines}
    others = [line for line in summary.lines if line.label not in swept]
    levels = [
        Rule(along="y", at=100 * line.worst[summary.headline].mean, label=line.label, of=line.label)
        for line in (others if len(others) <= BESIDE else ())
        if summary.headline in line.worst
    ]
    values = sorted({value for sweep in several for value, _ in sweep.lines})
    logarithmic = values[0] > 0 and values[-1] >= 10 * values[0]
    ticks = tuple((value, f"{value:g}") for value in values)
    return Chart(
        kind=f"sweep-{in_a_file_name(setting)}",
        title=heading(summary, f"Accuracy against {setting}"),
        x=Axis(label=setting, scale="log" if logarithmic else "linear", ticks=ticks),
        y=Axis(label=f"accuracy (%), robust at {ball(summary)}"),
        series=tuple(part for sweep in several for part in _curves(summary, sweep)),
        rules=tuple(levels),
        rows=pd.DataFrame([row for sweep in several for row in _rows(summary, sweep)]),
    )


def _curves(summary: Summary, sweep: Sweep) -> Iterator[Series]:
    """Robust accuracy with its intervals, natural accuracy dashed."""
    of = sweep.lines[0][1].label
    said = f"{sweep.label} by {sweep.setting}"  # the label alone may be a line with the default
    values = tuple(value for value, _ in sweep.lines)
    worst = [line.worst[summary.headline] for _, line in sweep.lines]
    natural = percents(line.natural.mean for _, line in sweep.lines)
    yield estimates(said, of, values, worst, stroke="-")
    yield Series(label=f"{said}, natural", of=of, x=values, y=natural, stroke="--", marked=False)


def _rows(summary: Summary, sweep: Sweep) -> Iterator[dict[str, object]]:
    for value, line in sweep.lines:
        worst = line.worst[summary.headline]
        yield {"method": sweep.label, "setting": sweep.setting, "value": value,
               "natural": line.natural.mean, "worst": worst.mean, "low": worst.low,
               "high": worst.high}  # fmt: skip
