"""Which of a table's pairs are inside the noise, in words and as a table."""

import math
from collections.abc import Sequence

import pandas as pd

from robench.analysis.comparisons import LEVEL, Comparison
from robench.analysis.summary import Summary
from robench.reporting import words
from robench.reporting.claims import points
from robench.reporting.table import Table

NAMED = 5
"""Pairs that a sentence names; the others are counted."""

SHOWN = 45
"""Rows of a page's table: all pairs of ten methods."""

CAPTION = (
    "Exact McNemar tests on the same images; of several seeds the largest p, and 1 where not the "
    "same method is ahead with each; corrected for the number of pairs (Holm). They tell these "
    "trained networks apart, and where trainings vary much also those of equal methods. The "
    "interval of the difference covers trainings, too, if there are several seeds, but is not "
    "corrected."
)


def said(comparisons: Sequence[Comparison]) -> list[str]:
    """What a reader of a table should know about its order, a sentence a line; none for one row."""
    if not comparisons:
        return []
    noise = [one for one in nearest(comparisons) if one.noise]
    total = f"{len(comparisons)} pair{'s' * (len(comparisons) > 1)}"
    if not noise:
        lines = [f"None of {total} is inside the noise (exact McNemar after Holm, p < {LEVEL})."]
        if len(comparisons) == 1:
            lines = [f"Not inside the noise: {_pair(comparisons[0])}."]
    else:
        verb = "is" if len(noise) == 1 else "are"
        named = "; ".join(_pair(one) for one in noise[:NAMED])
        more = f"; and {len(noise) - NAMED} more" if len(noise) > NAMED else ""
        lines = [f"{len(noise)} of {total} {verb} inside the noise: {named}{more}."]
    return lines + _of_trainings([one for one in comparisons if not one.noise])


def nearest(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Neighbours in the table first."""
    labels = dict.fromkeys(label for one in comparisons for label in (one.first, one.second))
    place = {label: number for number, label in enumerate(labels)}
    return sorted(
        comparisons, key=lambda one: (place[one.second] - place[one.first], place[one.first])
    )


def table(summary: Summary, comparisons: Sequence[Comparison]) -> Table:
    """Neighbours first."""
    left = len(comparisons) - SHOWN
    more = [f"{left} more pairs, further apart in rank, are only in the CSV."] if left > 0 else []
    return Table(
        title=f"Pairs: {words.title(summary)}",
        header=("pair", "points, 95 % interval", "McNemar p by seed", "after Holm", "verdict"),
        rows=tuple(_row(one) for one in nearest(comparisons)[:SHOWN]),
        caption=(*more, CAPTION),
    )


def tidy(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """A row a pair, unrounded; differences are shares, not points."""
    return pd.DataFrame(
        [
            {
                "first": one.first, "second": one.second, "difference": one.difference.mean,
                "low": one.difference.low, "high": one.difference.high,
                "seeds": one.difference.seeds, "p_by_seed": " ".join(map(repr, one.by_seed)),
                "p": one.p, "holm": one.holm, "noise": one.noise,
            }
            for one in comparisons
        ],
        columns=[
            "first", "second", "difference", "low", "high", "seeds", "p_by_seed", "p", "holm",
            "noise",
        ],
    )  # fmt: skip


def chance(p: float) -> str:
    """``p = 0.21``, ``p < 0.001``; a p that rounds to the level is written out."""
    return "p < 0.001" if p < 0.001 else f"p = {number(p)}"


def number(p: float) -> str:
    """Two digits that count; three where two would not tell on which side of the level it is."""
    if math.isnan(p):
        return "-"
    if p < 0.001:
        return "< 0.001"
    text = f"{p:.2g}"
    return text if (float(text) < LEVEL) == (p < LEVEL) else f"{p:.3g}"


def _pair(one: Comparison) -> str:
    if not one.by_seed:
        return f"{one.first} and {one.second} (no seed in common)"
    apart = f"{100 * one.difference.mean:+.1f} points"
    return f"{one.first} and {one.second} ({apart}, McNemar {chance(one.holm)} after Holm)"


def _of_trainings(told: Sequence[Comparison]) -> list[str]:
    """What tells networks apart need not tell methods apart."""
    single = sum(one.difference.seeds == 1 for one in told)
    within = sum(
        one.difference.seeds > 1 and one.difference.low <= 0 <= one.difference.high for one in told
    )
    lines = []
    if single:
        lines.append(
            f"{_counted(single)} told apart with one seed only: another training may turn "
            f"{'it' if single == 1 else 'them'}."
        )
    if within:
        lines.append(
            f"{_counted(within)} told apart by every seed's images, but trainings vary so much "
            "that the interval of the difference holds zero."
        )
    return lines


def _counted(pairs: int) -> str:
    return f"{pairs} pair is" if pairs == 1 else f"{pairs} pairs are"


def _row(one: Comparison) -> tuple[str, ...]:
    pair = f"{one.first} and {one.second}"
    if not one.by_seed:
        return pair, "-", "-", "-", "no seed in common"
    seeds = ", ".join(map(number, one.by_seed))
    verdict = "noise" if one.noise else "differ"
    return pair, points(one.difference), seeds, number(one.holm), verdict
