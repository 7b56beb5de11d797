"""A table of a report, before it is written for a terminal, as Markdown, LaTeX or HTML."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Row = tuple[str, ...]
Place = tuple[int, int]
"""Row and column."""

_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows that begin with a label."""

    title: str
    header: Row
    """A column may have several words; the first is that of the labels."""
    rows: tuple[Row, ...]
    caption: tuple[str, ...] = ()
    """What a reader has to know to use the numbers, a sentence each."""
    footnotes: tuple[str, ...] = ()
    best: frozenset[Place] = frozenset()
    """Numbers that no other of their column is above."""
    second: frozenset[Place] = frozenset()
    """Those below them alone."""

    @property
    def columns(self) -> list[list[str]]:
        """Cells by column, without the header."""
        return [[row[at] for row in self.rows] for at in range(len(self.header))]


def rows_of(cells: Iterable[Sequence[str]]) -> tuple[Row, ...]:
    """Lists of texts as rows."""
    return tuple(tuple(row) for row in cells)


def leaders(
    rows: Sequence[Row], columns: Iterable[int], among: Sequence[int]
) -> tuple[frozenset[Place], frozenset[Place]]:
    """The best and the second of each column, of the rows among which it makes sense to choose.

    What looks the same is a tie: all of a tie lead. Two that lead together leave no second.
    """
    best, second = set[Place](), set[Place]()
    for column in columns:
        values = {row: value(rows[row][column]) for row in among}
        known = {row: number for row, number in values.items() if number is not None}
        order = sorted(set(known.values()), reverse=True)
        if len(order) < 2:  # nothing to choose between
            continue
        first = [row for row, number in known.items() if number == order[0]]
        best |= {(row, column) for row in first}
        if len(first) == 1:
            second |= {(row, column) for row, number in known.items() if number == order[1]}
    return frozenset(best), frozenset(second)


def value(cell: str) -> float | None:
    """The number that a cell begins with, as it is shown."""
    found = _NUMBER.match(cell)
    return float(found.group()) if found else None
