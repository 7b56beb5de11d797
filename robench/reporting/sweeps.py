"""Natural and robust accuracy against a setting of which a table has several values."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes

from robench.analysis.summary import Line, Summary
from robench.names import in_a_file_name
from robench.reporting.figures import STYLE, Look, bars, canvas, save

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


def draw(summary: Summary, look: Look, folder: Path, name: str) -> list[Path]:
    """A figure for each setting that is swept, with the table's other methods as levels."""
    found = sweeps(summary)
    by_setting = {
        s.setting: [other for other in found if other.setting == s.setting] for s in found
    }
    return [
        _draw(summary, setting, several, look, folder, name)
        for setting, several in by_setting.items()
    ]


def _draw(
    summary: Summary, setting: str, several: list[Sweep], look: Look, folder: Path, name: str
) -> Path:
    with style.context(STYLE):
        figure, axes = canvas(summary)
        rows = [row for sweep in several for row in _curve(axes, summary, sweep, look)]
        swept = {line.label for sweep in several for _, line in sweep.lines}
        others = [line for line in summary.lines if line.label not in swept]
        for line in others if len(others) <= BESIDE else ():
            if summary.headline in line.worst:
                level = 100 * line.worst[summary.headline].mean
                axes.axhline(level, ls=":", color=look[line.label][0], label=line.label)
        values = [value for sweep in several for value, _ in sweep.lines]
        if min(values) > 0 and max(values) >= 10 * min(values):
            axes.set_xscale("log")
        marks = sorted(set(values))
        axes.set_xticks(marks, [f"{value:g}" for value in marks])
        axes.minorticks_off()
        axes.set_xlabel(setting)
        axes.set_ylabel(f"accuracy (%), robust at {summary.shared['norm']} {summary.headline}")
        stem = folder / f"sweep-{in_a_file_name(setting)}-{name}"
        return save(figure, axes, pd.DataFrame(rows), stem)


def _curve(axes: Axes, summary: Summary, sweep: Sweep, look: Look) -> list[dict[str, object]]:
    """Robust accuracy with its intervals, natural accuracy dashed; the rows behind them."""
    colour, marker = look[sweep.lines[0][1].label]
    said = f"{sweep.label} by {sweep.setting}"  # the label alone may be a line with the default
    values = [value for value, _ in sweep.lines]
    worst = [line.worst[summary.headline] for _, line in sweep.lines]
    natural = [line.natural for _, line in sweep.lines]
    below, above = zip(*((b[0], a[0]) for b, a in map(bars, worst)), strict=True)
    axes.errorbar(values, [100 * w.mean for w in worst], yerr=(below, above), fmt=f"-{marker}",
                  color=colour, capsize=2, elinewidth=0.8, ms=4, label=said)  # fmt: skip
    axes.plot(values, [100 * n.mean for n in natural], "--", color=colour, lw=1,
              label=f"{said}, natural")  # fmt: skip
    return [
        {"method": sweep.label, "setting": sweep.setting, "value": value, "natural": n.mean,
         "worst": w.mean, "low": w.low, "high": w.high}
        for value, n, w in zip(values, natural, worst, strict=True)
    ]  # fmt: skip
