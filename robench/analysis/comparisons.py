"""Every pair of a table's methods: by how much they differ, and whether it could be chance."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from robench.analysis.bootstrap import bootstrapped
from robench.analysis.differences import Difference, paired
from robench.analysis.mcnemar import discordant, mcnemar
from robench.analysis.worst import Side

LEVEL = 0.05
"""Of the whole table: how often any pair may be told apart that is not different."""

Tested = tuple[float, int]
"""A seed's p and who is ahead: 1 the first, -1 the second, 0 neither."""


@dataclass(frozen=True)
class Comparison:
    """Two methods of a table in worst-case accuracy, at its headline radius."""

    first: str
    second: str
    difference: Difference
    """The first minus the second, on the seeds that both have."""
    by_seed: tuple[float, ...]
    """Exact McNemar's p of each of those seeds, ascending by seed."""
    p: float
    """The largest of them where one is ahead with every seed, else 1; not a number without any.

    So it is of the networks that were trained; how far trainings to come vary is in the interval.
    """
    holm: float
    """The same, corrected for the number of pairs in the table."""

    @property
    def noise(self) -> bool:
        """Whether these networks cannot be told apart; also where they share no seed."""
        return not self.holm < LEVEL


def comparisons(found: Sequence[Side]) -> list[Comparison]:
    """All pairs of a table's lines, in its order: the better of the two first."""
    if len(found) < 2:
        return []
    tests = _tests(found)
    pairs = list(combinations(range(len(found)), 2))
    every = [_together(tests[pair]) for pair in pairs]
    return [
        Comparison(
            found[one].label, found[other].label, _difference(found[one], found[other]),
            tuple(p for p, _ in tests[one, other]), p, corrected,
        )
        for (one, other), p, corrected in zip(pairs, every, holm(every), strict=True)
    ]  # fmt: skip


def holm(found: Sequence[float]) -> list[float]:
    """Holm's correction of several p; what is not a number counts as no test.

    Holm 1979: ascending, each p times the number of tests that are left, and none below one before.
    """
    corrected = np.array(found, dtype=float)
    order = np.argsort(corrected)[: np.count_nonzero(~np.isnan(corrected))]
    left = np.arange(len(order), 0, -1)  # tests not yet rejected, this one among them
    corrected[order] = np.maximum.accumulate(left * corrected[order]).clip(max=1)
    return [float(p) for p in corrected]


def _tests(found: Sequence[Side]) -> dict[tuple[int, int], list[Tested]]:
    """Of each pair: a test for each seed that both have."""
    tests: dict[tuple[int, int], list[Tested]] = {
        pair: [] for pair in combinations(range(len(found)), 2)
    }
    for seed in sorted({seed for side in found for seed in side.stands}):
        here = [number for number, side in enumerate(found) if seed in side.stands]
        only = discordant(np.stack([found[number].stands[seed] for number in here]))
        chances, ahead = mcnemar(only, only.T), np.sign(only - only.T)
        for (i, one), (j, other) in combinations(enumerate(here), 2):
            tests[one, other].append((float(chances[i, j]), int(ahead[i, j])))
    return tests


def _together(tests: Sequence[Tested]) -> float:
    """That they differ with every seed is shown as well as by the seed that shows it least."""
    if not tests:
        return math.nan
    return max(p for p, _ in tests) if len({ahead for _, ahead in tests}) == 1 else 1.0


def _difference(first: Side, second: Side) -> Difference:
    seeds = sorted(first.stands.keys() & second.stands.keys())
    if not seeds:
        return Difference(math.nan, math.nan, math.nan, 0)
    how = bootstrapped if first.random or second.random else paired
    return how([first.stands[s] for s in seeds], [second.stands[s] for s in seeds])
