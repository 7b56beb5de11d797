"""Accuracy by class, natural and against all attacks: a row a method."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from robench.analysis.classes import ClassLine
from robench.analysis.summary import Summary
from robench.reporting.charts.chart import Heat
from robench.reporting.classes import tidy
from robench.reporting.figures.heading import ball, heading

MOST = 30
"""Classes above which columns would have no room."""


def charts(summary: Summary, found: Sequence[ClassLine]) -> list[Heat]:
    """Two matrices; none for data sets of too many classes."""
    numbers = sorted({one.number for line in found for one in line.classes})
    if not numbers or len(numbers) > MOST:
        return []
    what = {
        "natural": "Natural accuracy by class (%)",
        "worst": f"Robust accuracy by class (%), {ball(summary)}",
    }
    return [
        Heat(
            kind=f"classes-{name}",
            title=heading(summary, said),
            across="class",
            down="",
            columns=tuple(map(str, numbers)),
            names=tuple(line.label for line in found),
            values=_values(found, numbers, name),
            rows=tidy(found),
        )
        for name, said in what.items()
    ]


def _values(found: Sequence[ClassLine], numbers: list[int], name: str) -> npt.NDArray[np.float64]:
    values = np.full((len(found), len(numbers)), np.nan)
    for row, line in enumerate(found):
        for one in line.classes:
            values[row, numbers.index(one.number)] = 100 * getattr(one, name)
    return values
