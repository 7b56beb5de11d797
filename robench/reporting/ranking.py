"""The order of a table's methods, with those that cannot be told apart in one group."""

import math

import pandas as pd

from robench.analysis.ranking import Rank
from robench.analysis.summary import Line, Summary
from robench.reporting import words
from robench.reporting.claims import points
from robench.reporting.table import Table

CAPTION = (
    "Methods of one group are inside the noise of its first: the 95 % interval of the difference, "
    "paired image by image and seed by seed, holds zero. Each difference is judged by itself, not "
    "corrected for their number. Passes are millions of images through networks while training, "
    "where a backward pass counts as two."
)


def table(summary: Summary, ranks: list[Rank]) -> Table:
    """What it shows, a row a method."""
    lines = {line.label: line for line in summary.lines}
    return Table(
        title=f"Ranking: {words.title(summary)}",
        header=("method", "group", f"worst {summary.headline}", "behind its first", "passes"),
        rows=tuple(_row(summary, rank, lines[rank.label]) for rank in ranks),
        caption=(CAPTION,),
    )


def tidy(summary: Summary, ranks: list[Rank]) -> pd.DataFrame:
    """A row a method; differences are shares, not points."""
    lines = {line.label: line for line in summary.lines}
    return pd.DataFrame(
        {
            "group": rank.group,
            "method": rank.label,
            "worst": lines[rank.label].worst[summary.headline].mean,
            "behind": rank.behind.mean if rank.behind else None,
            "low": rank.behind.low if rank.behind else None,
            "high": rank.behind.high if rank.behind else None,
            "passes": lines[rank.label].cost,
        }
        for rank in ranks
    )


def _row(summary: Summary, rank: Rank, line: Line) -> tuple[str, ...]:
    n = int(str(summary.shared["n"]))
    worst = words.estimate(line.worst[summary.headline], n)
    behind = points(rank.behind) if rank.behind else ""
    passes = "-" if math.isnan(line.cost) else f"{line.cost / 1e6:.3g}"
    return words.named(summary, line), str(rank.group), worst, behind, passes
