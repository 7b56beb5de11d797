"""Methods over several data sets, as a page and a spreadsheet show them."""

import pandas as pd

from robench.analysis.comparisons import LEVEL
from robench.analysis.friedman import Friedman
from robench.reporting.comparisons import chance
from robench.reporting.table import Table, rows_of

_NAMED = 5


def table(found: Friedman) -> Table:
    """What it shows, and what is not in it."""
    return Table(
        title=title(found), header=tuple(header(found)), rows=rows_of(cells(found)),
        caption=tuple(caption(found)),
        footnotes=tuple(f"left out: {reason}" for reason in found.left_out),
    )  # fmt: skip


def title(found: Friedman) -> str:
    """What the tables have in common, in a line."""
    shared = found.shared
    return (
        f"Ranks over {len(found.places)} tables: trained in {shared['train_norm']}, attacked in "
        f"{shared['norm']} by {shared['suite']}, {found.checkpoint} checkpoint"
    )


def header(found: Friedman) -> list[str]:
    """Columns of the table."""
    return ["method", "average rank"]


def cells(found: Friedman) -> list[list[str]]:
    """Rows, the best first."""
    return [[label, f"{rank:.2f}"] for label, rank in found.ranks.items()]


def caption(found: Friedman) -> list[str]:
    """What is put together, what the tests say, and what they cannot; a sentence a line."""
    lines = [
        f"Ranked by worst-case accuracy in {'; '.join(found.places)}.",
        f"Friedman's test of equal methods: chi-squared {found.statistic:.2f}, {chance(found.p)}.",
        _pairs(found),
        "Tables of one data set with several networks share its images, which makes p too small.",
    ]
    if found.smallest >= LEVEL:
        lines.insert(2, f"So few tables show nothing: one order in all would be "
                        f"{chance(found.smallest)}.")  # fmt: skip
    return lines


def tidy(found: list[Friedman]) -> pd.DataFrame:
    """A row a pair with Nemenyi's p, unrounded."""
    return pd.DataFrame(
        {
            **one.shared,
            "checkpoint": one.checkpoint,
            "tables": "; ".join(one.places),
            "first": first,
            "second": second,
            "rank_first": one.ranks[first],
            "rank_second": one.ranks[second],
            "nemenyi": p,
            "critical": one.critical,
            "friedman": one.statistic,
            "friedman_p": one.p,
        }
        for one in found
        for (first, second), p in one.pairs.items()
    )


def _pairs(found: Friedman) -> str:
    """Pairs that are told apart, further apart first."""
    told = sorted((p, pair) for pair, p in found.pairs.items() if p < LEVEL)
    rule = f"average ranks more than {found.critical:.2f} apart"
    if not told:
        return f"Nemenyi's test tells no two methods apart, which takes {rule}."
    named = "; ".join(f"{a} and {b} ({chance(p)})" for p, (a, b) in told[:_NAMED])
    more = f"; and {len(told) - _NAMED} more" if len(told) > _NAMED else ""
    return f"Nemenyi's test tells apart, by {rule}: {named}{more}."
