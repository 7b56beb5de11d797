"""Robust overfitting: how much worst-case accuracy the end of training has lost since its best."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from robench.analysis.differences import Difference, paired
from robench.analysis.summary import Summary
from robench.analysis.worst import Side, sides, worst_cases


@dataclass(frozen=True)
class Overfitting:
    """One method's best checkpoint against its last, on the seeds that have both."""

    label: str
    best: float
    """Worst-case accuracy in [0, 1], mean over seeds."""
    last: float
    difference: Difference
    """Best minus last, paired by image and seed."""


def overfitting(summary: Summary, frame: pd.DataFrame, results: Path) -> list[Overfitting]:
    """A line for each of a table's methods whose last checkpoint met the same attacks.

    Same suite and radius, in the order of the table; empty for a table of last checkpoints. The
    best one is chosen on validation images, so a negative number is no mistake.

    Raises:
        StoreError: outcomes are missing or damaged, or of different test images.
    """
    if summary.checkpoint != "best":
        return []
    best, last = (worst_cases(summary, frame, which) for which in ("best", "last"))
    cells = set(best["cell"]) & set(last["cell"])
    both = pd.concat([_named("best", best), _named("last", last)])
    both = both[both["cell"].isin(cells)]
    there = set(both["label"])
    labels = [line.label for line in summary.lines if f"best {line.label}" in there]
    read = sides(
        [f"{which} {name}" for name in labels for which in ("best", "last")], both, results
    )
    return [
        _compared(label, before, after)
        for label, before, after in zip(labels, read[::2], read[1::2], strict=True)
    ]


def _named(which: str, rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(label=f"{which} " + rows["label"])


def _compared(label: str, best: Side, last: Side) -> Overfitting:
    seeds = sorted(best.stands)
    ours, theirs = ([side.stands[seed] for seed in seeds] for side in (best, last))
    best_mean, last_mean = (
        float(sum(stands.mean() for stands in side) / len(seeds)) for side in (ours, theirs)
    )
    return Overfitting(label, best_mean, last_mean, paired(ours, theirs))
