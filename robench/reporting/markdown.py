"""Tables as GitHub's Markdown."""

from robench.reporting.table import Table
from robench.reporting.words import escaped


def written(table: Table, level: int = 3) -> str:
    """Title, table, caption, footnotes; what leads is bold, what is second in italics."""
    below = escaped(" ".join(table.caption))
    parts = [
        f"{'#' * level} {escaped(table.title)}",
        grid(table),
        below,
        "\n".join(f"- {escaped(line)}" for line in table.footnotes),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def grid(table: Table) -> str:
    """The cells alone."""
    lines = [[*map(escaped, table.header)], ["---", *["---:"] * (len(table.header) - 1)]]
    lines += [
        [_marked(table, at, column, cell) for column, cell in enumerate(row)]
        for at, row in enumerate(table.rows)
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _marked(table: Table, at: int, column: int, cell: str) -> str:
    text = escaped(cell)
    if (at, column) in table.best:
        return f"**{text}**"
    return f"*{text}*" if (at, column) in table.second else text
