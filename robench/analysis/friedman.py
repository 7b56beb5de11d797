"""Methods over several data sets: average ranks, Friedman's test and Nemenyi's pairs."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import chi2, friedmanchisquare, rankdata, studentized_range

from robench.analysis.summary import SHARED, Summary

OWN = (
    "dataset", "data", "model", "recipe", "recipe_key", "train_eps", "sweep", "n",
)  # fmt: skip
"""In what tables may differ that are put together; in all else they agree."""

LEAST_METHODS, LEAST_PLACES = 3, 2

Ranks = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Friedman:
    """The methods that several tables share, ranked by worst-case accuracy in each of them."""

    shared: dict[str, object]
    """What the tables have in common."""
    checkpoint: str
    places: tuple[str, ...]
    """Data set, network, recipe and radius of each table."""
    ranks: dict[str, float]
    """Means over the tables, from the best (1) on; ties share the mean of their ranks."""
    statistic: float
    p: float
    """That ranks so far apart come by chance where all methods are equal."""
    smallest: float
    """The p if all tables had one and the same order: with few tables nothing can be shown."""
    pairs: dict[tuple[str, str], float]
    """Nemenyi's p of each pair, the better first, corrected for the number of pairs."""
    critical: float
    """Average ranks must be further apart than this for a p below 0.05."""
    left_out: tuple[str, ...]
    """Methods and tables that are not in it, and why."""


def friedman(summaries: Sequence[Summary], frame: pd.DataFrame) -> list[Friedman]:
    """One for each suite, norm and checkpoint with three methods on two data sets or networks.

    A data set with a network is counted once: where there are several tables of it, at other radii
    or of other recipes, none of them is taken. Tables of the same data set with different networks
    share its images, so they are less than independent.
    """
    groups: dict[tuple[object, ...], list[Summary]] = {}
    for summary in summaries:
        if summary.lines:
            same = (summary.shared[name] for name in SHARED if name not in OWN)
            groups.setdefault((summary.checkpoint, *same), []).append(summary)
    versions = _versions(frame)
    return [found for group in groups.values() for found in _tested(group, versions)]


def nemenyi(apart: Ranks, methods: int, places: int) -> Ranks:
    """Nemenyi's p of average ranks that are so far apart, of any shape."""
    scaled = apart / _unit(methods, places)
    found: Ranks = np.asarray(studentized_range.sf(scaled, methods, np.inf), dtype=float)
    return found


def critical(methods: int, places: int) -> float:
    """How far apart average ranks must be for Nemenyi's p to be below 0.05."""
    return float(studentized_range.ppf(0.95, methods, np.inf) * _unit(methods, places))


def omnibus(accuracies: Ranks) -> tuple[float, float]:
    """Friedman's statistic, corrected for ties, and its p; of accuracies (places, methods)."""
    if (accuracies == accuracies[:, :1]).all():
        return 0.0, 1.0  # the correction would divide by zero
    found = friedmanchisquare(*accuracies.T)
    return float(found.statistic), float(found.pvalue)


def _unit(methods: int, places: int) -> float:
    """The standard deviation of an average rank, as the studentized range takes it."""
    return float((methods * (methods + 1) / (12 * places)) ** 0.5)


def _tested(group: list[Summary], versions: dict[str, str]) -> Iterator[Friedman]:
    """One, or none where methods or tables are too few."""
    several = {place for place, count in Counter(map(_place, group)).items() if count > 1}
    tables = [summary for summary in group if _place(summary) not in several]
    left_out = [f"{place}: several tables of it" for place in sorted(map(", ".join, several))]
    labels, lacking = _labels(tables, versions)
    if len(tables) < LEAST_PLACES or len(labels) < LEAST_METHODS:
        return
    accuracies = np.array([[_worst(table)[label] for label in labels] for table in tables])
    means = rankdata(-accuracies, axis=1).mean(0)
    ranks = {labels[i]: float(means[i]) for i in np.argsort(means, kind="stable")}
    pairs = list(combinations(ranks, 2))
    k, n = len(labels), len(tables)
    apart = nemenyi(np.array([ranks[b] - ranks[a] for a, b in pairs]), k, n)
    statistic, p = omnibus(accuracies)
    yield Friedman(
        {name: tables[0].shared[name] for name in SHARED if name not in OWN},
        tables[0].checkpoint, tuple(map(_described, tables)), ranks, statistic, p,
        float(chi2.sf(n * (k - 1), k - 1)), dict(zip(pairs, apart.tolist(), strict=True)),
        critical(k, n), (*left_out, *lacking),
    )  # fmt: skip


def _labels(tables: Sequence[Summary], versions: dict[str, str]) -> tuple[list[str], list[str]]:
    """Methods that all tables have, and of the others where they are lacking."""
    kept, lacking = [], []
    for label in dict.fromkeys(label for table in tables for label in _worst(table)):
        gone = [_described(table) for table in tables if label not in _worst(table)]
        made = {
            versions[cell]
            for table in tables for line in table.lines if line.label == label
            for cell in line.cells
        }  # fmt: skip
        if gone:
            lacking.append(f"{label}: not in {'; '.join(gone)}")
        elif len(made) > 1:
            lacking.append(f"{label}: its plugin is not the same in all tables")
        else:
            kept.append(label)
    return kept, lacking


def _worst(summary: Summary) -> dict[str, float]:
    at = summary.headline
    return {line.label: line.worst[at].mean for line in summary.lines if at in line.worst}


def _versions(frame: pd.DataFrame) -> dict[str, str]:
    """Which plugin trained each cell."""
    return dict(zip(frame["cell"].astype(str), frame["plugin"].astype(str), strict=True))


def _place(summary: Summary) -> tuple[str, str]:
    return str(summary.shared["dataset"]), str(summary.shared["model"])


def _described(summary: Summary) -> str:
    recipe = f", recipe {summary.shared['recipe']}" if summary.shared["recipe"] else ""
    return f"{', '.join(_place(summary))}{recipe} at {summary.headline}"
