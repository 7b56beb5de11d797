"""Tables on a terminal of 80 columns and more."""

from collections.abc import Sequence
from typing import Literal

import rich.table
from rich import box
from rich.console import Group
from rich.text import Text

from robench.reporting.table import Table

_LABEL = 16
"""Columns that a label gets at least; a longer one may be folded."""


def least_width(table: Table) -> int:
    """Columns of a terminal below which a number or a heading would be broken over two lines."""
    words = [heading.split() for heading in table.header]
    columns = [[*cells, *head] for cells, head in zip(table.columns, words, strict=True)]
    label, *others = (max(map(len, column), default=0) for column in columns)
    return min(_LABEL, label) + sum(1 + wide for wide in others)


def shown(table: Table) -> Group:
    """As wide as its numbers; labels are folded. What leads is bold, what is second underlined."""
    below = "\n".join((*table.caption, *table.footnotes))
    return Group(Text(table.title, style="bold"), grid(table), Text(below, "dim"))


def grid(table: Table) -> rich.table.Table:
    """The cells alone."""
    found = rich.table.Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False)
    for number, name in enumerate(table.header):
        justify: Literal["left", "right"] = "left" if number == 0 else "right"
        heading = Text(name.replace(" ", "\n"))
        found.add_column(heading, justify=justify, overflow="fold", no_wrap=number > 0)
    for at, row in enumerate(table.rows):
        found.add_row(*_cells(table, at, row))
    return found


def _cells(table: Table, at: int, row: Sequence[str]) -> list[Text]:
    texts = [Text(cell) for cell in row]
    for column, text in enumerate(texts):  # the letters alone: not the space beside them
        if (at, column) in table.best:
            text.stylize("bold")
        elif (at, column) in table.second:
            text.stylize("underline")
    return texts
