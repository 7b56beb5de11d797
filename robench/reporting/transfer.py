"""The transfer matrix: on a terminal, in Markdown and as a heat map with its numbers."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from rich.console import Group
from rich.markup import escape
from rich.text import Text

from robench.analysis.transfer import OTHERS, Matrix, Sign
from robench.reporting import tables, words
from robench.reporting.figures import STYLE, save

NATURAL = "no attack"
"""The row of natural accuracy."""

WIDTH = 80
"""Columns that a table's blocks fit into."""


def title(matrix: Matrix) -> str:
    """What a matrix is about, in a line."""
    shared = matrix.shared
    place = f"{shared['dataset']}, {shared['model']}, {shared['norm']} {shared['eps']}"
    return f"Transfer: {place}, crafted by {shared['attack']}"


def header(matrix: Matrix) -> list[str]:
    """Columns: the targets."""
    return ["crafted on", *(_named(matrix, name) for name in matrix.targets)]


def cells(matrix: Matrix) -> list[list[str]]:
    """Rows: natural accuracy, then a source each; a dash where there is no number."""
    n = int(str(matrix.shared["n"]))
    rows = [(NATURAL, matrix.natural)]
    rows += [(_named(matrix, str(name)), values) for name, values in matrix.robust.iterrows()]
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
    parts = [tables.drawn("", [*map(escape, head)], rows, ()) for head, rows in _blocks(matrix)]
    below = [*caption(matrix), *_marked(matrix)]
    return Group(Text(title(matrix), style="bold"), *parts, Text("\n".join(below), "dim"))


def markdown(matrix: Matrix) -> str:
    """A GitHub table with its caption."""
    return tables.written(
        title(matrix), header(matrix), cells(matrix), caption(matrix), footnotes(matrix)
    )


def draw(matrix: Matrix, folder: Path, name: str) -> Path:
    """The matrix as a heat map; the diagonal is framed."""
    with style.context(STYLE):
        figure, axes = _canvas(matrix)
        values = 100 * np.vstack([matrix.natural.to_numpy(), matrix.robust.to_numpy()])
        axes.imshow(values, cmap="viridis", vmin=0, vmax=100, aspect="auto")
        axes.axhline(0.5, color="white", lw=3)
        for (row, column), value in np.ndenumerate(values):
            if not np.isnan(value):
                colour = "white" if value < 55 else "black"
                axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=colour)
        rows = [NATURAL, *matrix.robust.index]
        for column, target in enumerate(matrix.targets):
            if target in rows:
                axes.add_patch(_frame(column, rows.index(target)))
        table = matrix.robust.rename_axis("source").reset_index()
        return save(figure, axes, table, folder / name)


def _canvas(matrix: Matrix) -> tuple[Figure, Axes]:
    """Empty axes with names on both sides, that have room for them."""
    shared, seeds = matrix.shared, max(matrix.seeds.values())
    targets = [_named(matrix, target) for target in matrix.targets]
    sources = [NATURAL, *(_named(matrix, str(source)) for source in matrix.robust.index)]
    longest = max(map(len, [*targets, *sources]))
    figure = Figure(layout="constrained")
    figure.set_size_inches(
        max(4.0, 0.8 + 0.07 * longest + 0.5 * len(targets)),
        1.1 + 0.05 * longest + 0.3 * len(sources),
    )
    axes = figure.add_subplot()
    axes.set_xticks(range(len(targets)), targets, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(sources)), sources)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("attacked")
    axes.set_ylabel("crafted on")
    of = f"n={shared['n']}, {seeds} seed{'s' * (seeds > 1)}, {shared['checkpoint']} checkpoint"
    figure.suptitle(f"{title(matrix)}\nrobust accuracy (%), {of}", fontsize=8)
    return figure, axes


def _frame(column: int, row: int) -> Rectangle:
    """Above the white line that crosses it."""
    place, side = (column - 0.47, row - 0.47), 0.94
    return Rectangle(place, side, side, fill=False, ec="#D55E00", lw=2, zorder=3)


def _marked(matrix: Matrix) -> list[str]:
    return [f"† {name}: {how}" for name, how in matrix.deviates.items()]


def _named(matrix: Matrix, name: str) -> str:
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
