"""Best against last checkpoint, as a page and a spreadsheet show it."""

from collections.abc import Sequence

import pandas as pd

from robench.analysis.overfitting import Overfitting
from robench.analysis.summary import Summary
from robench.reporting import words
from robench.reporting.claims import points
from robench.reporting.table import Table, rows_of


def table(summary: Summary, found: Sequence[Overfitting]) -> Table:
    """What it shows, a row a method."""
    return Table(
        title=f"Robust overfitting: {words.title(summary)}", header=tuple(header()),
        rows=rows_of(cells(summary, found)), caption=tuple(caption(summary)),
    )  # fmt: skip


def header() -> list[str]:
    """Columns; the last one is in points."""
    return ["method", "best", "last", "best - last (95 %)"]


def cells(summary: Summary, found: Sequence[Overfitting]) -> list[list[str]]:
    """Rows, in the order of the table."""
    n = int(str(summary.shared["n"]))
    return [_row(one, n, summary.seeds) for one in found]


def caption(summary: Summary) -> list[str]:
    """What a reader has to know, a sentence a line."""
    return [
        f"Per cent of {summary.shared['n']} test images that stand against all attacks of "
        f"{summary.shared['suite']} at {summary.shared['norm']} {summary.headline}; means over the "
        "seeds whose best and last checkpoint were both attacked.",
        "Points are paired, image by image and seed by seed; the interval of one seed covers the "
        "choice of test images, that of several also the trainings.",
    ]


def tidy(summary: Summary, found: Sequence[Overfitting]) -> pd.DataFrame:
    """A row a method, unrounded; differences are shares, not points."""
    return pd.DataFrame(
        {
            **summary.shared,
            "eps": summary.headline,
            "method": one.label,
            "seeds": one.difference.seeds,
            "best": one.best,
            "last": one.last,
            "difference": one.difference.mean,
            "low": one.difference.low,
            "high": one.difference.high,
        }
        for one in found
    )


def _row(one: Overfitting, n: int, seeds: int) -> list[str]:
    short = f" (n={one.difference.seeds})" * (one.difference.seeds < seeds)
    accuracies = [words.percent(value, n) for value in (one.best, one.last)]
    return [one.label + short, *accuracies, points(one.difference)]
