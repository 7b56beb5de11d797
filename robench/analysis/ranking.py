"""The methods of a table in order, and which of them the measurement cannot tell apart."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from robench.analysis.differences import Difference, paired
from robench.analysis.worst import Side

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


def ranking(found: Sequence[Side]) -> list[Rank]:
    """A table's lines from the best down, at its headline radius; empty for less than three.

    A group begins with a method that is surely worse than the first of the group before: the 95 %
    interval of the difference, paired by image and seed, lies above zero. Differences are judged
    one by one, so among twenty that are nothing one is expected to seem something.
    """
    if len(found) < LEAST:
        return []
    first, ranks = found[0], [Rank(found[0].label, 1, None)]
    for side in found[1:]:
        behind = _behind(first, side)
        if behind.low > 0:
            first = side
            ranks.append(Rank(side.label, ranks[-1].group + 1, None))
        else:
            ranks.append(Rank(side.label, ranks[-1].group, behind))
    return ranks


def _behind(first: Side, other: Side) -> Difference:
    """On the seeds that both have; not a number where there is none."""
    seeds = sorted(first.stands.keys() & other.stands.keys())
    if not seeds:
        return Difference(math.nan, math.nan, math.nan, 0)
    return paired([first.stands[s] for s in seeds], [other.stands[s] for s in seeds])
