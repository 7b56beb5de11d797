"""The same table on a terminal, in Markdown and as CSV."""

from collections.abc import Sequence
from typing import Literal

import pandas as pd
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from robench.analysis.summary import Summary
from robench.reporting import words

_LABEL = 16
"""Columns that a label needs at least."""


def least_width(summary: Summary) -> int:
    """Columns of a terminal below which a number would be broken over two lines."""
    return width_of(words.cells(summary))


def width_of(cells: Sequence[Sequence[str]]) -> int:
    """The same of any rows that begin with a label."""
    return _LABEL + sum(1 + max(map(len, column)) for column in list(zip(*cells, strict=True))[1:])


def terminal(summary: Summary) -> Group:
    """For a terminal of 80 columns and more, as far as the numbers fit; labels are folded."""
    below = words.caption(summary) + words.footnotes(summary)
    return drawn(words.title(summary), words.header(summary), words.cells(summary), below)


def drawn(
    title: str, header: Sequence[str], cells: Sequence[Sequence[str]], below: Sequence[str]
) -> Group:
    """Rows that begin with a label, for a terminal."""
    table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False)
    for number, name in enumerate(header):
        justify: Literal["left", "right"] = "left" if number == 0 else "right"
        heading = name.replace(" ", "\n")
        table.add_column(heading, justify=justify, overflow="fold", no_wrap=number > 0)
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    return Group(Text(title, style="bold"), table, Text("\n".join(below), "dim"))


def markdown(summary: Summary) -> str:
    """A GitHub table with its caption."""
    title, below = words.title(summary), words.footnotes(summary)
    return written(
        title, words.header(summary), words.cells(summary), words.caption(summary), below
    )


def written(
    title: str,
    header: Sequence[str],
    cells: Sequence[Sequence[str]],
    caption: Sequence[str],
    footnotes: Sequence[str] = (),
) -> str:
    """Rows that begin with a label, as Markdown."""
    rows = [header, ["---", *["---:"] * (len(header) - 1)], *cells]
    lines = [" | ".join(words.escaped(cell) for cell in row) for row in rows]
    parts = [
        f"### {words.escaped(title)}",
        "\n".join(f"| {line} |" for line in lines),
        words.escaped(" ".join(caption)),
        "\n".join(f"- {words.escaped(line)}" for line in footnotes),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def tidy(summaries: list[Summary]) -> pd.DataFrame:
    """What the tables show, unrounded: a row a line and radius."""
    return pd.DataFrame(
        {
            **summary.shared,
            "checkpoint": summary.checkpoint,
            "method": line.label,
            "deviates": line.deviates,
            "control": line.control,
            "seeds": len(line.seeds),
            "natural": line.natural.mean,
            "natural_spread": line.natural.spread,
            "eps": eps,
            "worst": found.mean,
            "worst_spread": found.spread,
            "worst_low": found.low,
            "worst_high": found.high,
            "last": line.last.mean if line.last and eps == summary.headline else None,
            "gap": line.gap if eps == summary.headline else None,
            "flags": ", ".join(line.flags),
        }
        for summary in summaries
        for line in summary.lines
        for eps, found in line.worst.items()
    )
