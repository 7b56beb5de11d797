"""The methods of a table in order, and which of them the measurement cannot tell apart."""

import math
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from robench.analysis.differences import Difference, paired
from robench.analysis.images import records, stands
from robench.analysis.summary import Summary
from robench.analysis.worst import worst_cases

LEAST = 3
"""Methods that make a ranking; two are compared at a glance."""


@dataclass(frozen=True)
class Rank:
    """A method's place in the order of worst-case accuracy."""

    label: str
    group: int
    """From 1; all of a group are inside the noise of its first."""
    behind: Difference | None
    """By how much the group's first is better; none for the first itself."""


def ranking(summary: Summary, frame: pd.DataFrame, results: Path) -> list[Rank]:
    """A table's lines from the best down, at its headline radius; empty for less than three.

    A group begins with a method that is surely worse than the first of the group before: the 95 %
    interval of the difference, paired by image and seed, lies above zero. Differences are judged
    one by one, so among twenty that are nothing one is expected to seem something.
    """
    lines = [line.label for line in summary.lines if summary.headline in line.worst]
    if len(lines) < LEAST:
        return []
    rows = {str(label): part for label, part in worst_cases(summary, frame).groupby("label")}
    first, found = lines[0], [Rank(lines[0], 1, None)]
    for label in lines[1:]:
        behind = _behind(rows[first], rows[label], results)
        if behind.low > 0:
            first = label
            found.append(Rank(label, found[-1].group + 1, None))
        else:
            found.append(Rank(label, found[-1].group, behind))
    return found


def _behind(first: pd.DataFrame, other: pd.DataFrame, results: Path) -> Difference:
    """On the seeds that both have; not a number where there is none."""
    sides = [part.set_index("seed") for part in (first, other)]
    seeds = sides[0].index.intersection(sides[1].index)
    if not len(seeds):
        return Difference(math.nan, math.nan, math.nan, 0)
    return paired(*([stands(r, results) for r in records(s.loc[seeds])] for s in sides))
