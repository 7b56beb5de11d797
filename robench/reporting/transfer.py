"""The transfer matrix as a table, and on a terminal in blocks of columns."""

from collections.abc import Iterator, Sequence

import numpy as np
from rich.console import Group
from rich.text import Text

from robench.analysis.transfer import OTHERS, Matrix, Sign
from robench.reporting import words
from robench.reporting.table import Table, rows_of
from robench.reporting.terminal import grid

NATURAL = "no attack"
"""The row of natural accuracy."""

WIDTH = 80
"""Columns that a table's blocks fit into."""


def table(matrix: Matrix) -> Table:
    """What it shows; its numbers are no ranking."""
    return Table(
        title=title(matrix), header=tuple(header(matrix)), rows=rows_of(cells(matrix)),
        caption=tuple(caption(matrix)), footnotes=tuple(footnotes(matrix)),
    )  # fmt: skip


def title(matrix: Matrix) -> str:
    """What a matrix is about, in a line."""
    shared = matrix.shared
    place = f"{shared['dataset']}, {shared['model']}, {shared['norm']} {shared['eps']}"
    return f"Transfer: {place}, crafted by {shared['attack']}"


def header(matrix: Matrix) -> list[str]:
    """Columns: the targets."""
    return ["crafted on", *(named(matrix, name) for name in matrix.targets)]


def cells(matrix: Matrix) -> list[list[str]]:
    """Rows: natural accuracy, then a source each; a dash where there is no number."""
    n = int(str(matrix.shared["n"]))
    rows = [(NATURAL, matrix.natural)]
    rows += [(named(matrix, str(name)), values) for name, values in matrix.robust.iterrows()]
    return [
        [name, *("-" if np.isnan(v) else words.percent(float(v), n) for v in values)]
        for name, values in rows
    ]


def caption(matrix: Matrix) -> list[str]:
    """What a reader has to know, a sentence a line."""
    shared, seeds = matrix.shared, matrix.seeds.values()
    upto = "up to " * (len({*seeds}) > 1)
    several = f", mean of {upto}{max(seeds)} seeds" if max(seeds) > 1 else ""
    found = [
        f"Robust accuracy in per cent of {shared['n']} test images{several}, within the ball of "
        f"training.",
        "Rows craft, columns are attacked; on the diagonal with the method's own gradients.",
        f"{OTHERS}: crafted on the mean probability of all methods but the one attacked."
        if OTHERS in matrix.robust.index
        else "",
        f"{str(shared['checkpoint']).capitalize()} checkpoint.",
    ]
    return [line for line in found if line]


def footnotes(matrix: Matrix) -> list[str]:
    """Who departs from the shared recipe, and signs of masking."""
    return [*_marked(matrix), *map(sign, matrix.signs)]


def sign(found: Sign) -> str:
    """A sign of masking, in words."""
    return (
        f"sign of masking: {found.target} seed {found.seed} loses {found.only_source} images to "
        f"{found.source} that its own gradients do not break, which break {found.only_own} others"
    )


def terminal(matrix: Matrix) -> Group:
    """Blocks of columns, none wider than a terminal of 80; signs of masking are not among them."""
    parts = [
        grid(Table(title="", header=tuple(head), rows=rows_of(rows)))
        for head, rows in _blocks(matrix)
    ]
    below = [*caption(matrix), *_marked(matrix)]
    return Group(Text(title(matrix), style="bold"), *parts, Text("\n".join(below), "dim"))


def _marked(matrix: Matrix) -> list[str]:
    return [f"† {name}: {how}" for name, how in matrix.deviates.items()]


def named(matrix: Matrix, name: str) -> str:
    """A method with its mark, and its number of seeds where others have more."""
    most = max(matrix.seeds.values())
    seeds = matrix.seeds.get(name, most)
    return name + " †" * bool(matrix.deviates.get(name)) + f" (n={seeds})" * (seeds < most)


def _blocks(matrix: Matrix) -> Iterator[tuple[list[str], list[list[str]]]]:
    """Header and rows of as many columns as fit beside the first one."""
    head, rows = header(matrix), cells(matrix)
    columns = [*zip(head, *rows, strict=True)]
    first, width, taken = columns[0], max(map(len, columns[0])), list[Sequence[str]]()
    room = width
    for column in columns[1:]:
        wide = 1 + max(len(part) for cell in column for part in cell.split())
        if taken and room + wide > WIDTH:
            yield _turned([first, *taken])
            taken, room = [], width
        taken.append(column)
        room += wide
    yield _turned([first, *taken])


def _turned(columns: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    head, *rows = ([*row] for row in zip(*columns, strict=True))
    return head, rows
