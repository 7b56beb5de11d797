"""Tables and figures of what suites measure."""

import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from matplotlib import style
from matplotlib.figure import Figure
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from robench.analysis.measured import Drawn, Measured
from robench.analysis.summary import Estimate
from robench.reporting.figures import STYLE, Look, logarithmic, save
from robench.reporting.words import escaped


def title(found: Measured) -> str:
    """What a table is about, in a line."""
    shared = found.shared
    return (
        f"{shared['dataset']}, {shared['model']}, trained at {shared['train_norm']} "
        f"{shared['train_eps']}, measured by {shared['suite']} at {shared['norm']} {shared['eps']}"
    )


def caption(found: Measured) -> list[str]:
    """What a reader has to know, a sentence a line."""
    shared = found.shared
    limits = [
        f"{int(str(shared[key])):,} {kind} images"
        for key, kind in (("train_limit", "training"), ("test_limit", "test"))
        if shared[key] is not None
    ]
    several = max((e.seeds for c in found.columns.values() for e in c.values()), default=1) > 1
    return [
        f"Suite {shared['suite']}, {shared['checkpoint']} checkpoint. "
        + (found.note or "This is no robust accuracy."),
        "\u00b1 is the standard deviation over seeds."
        if several
        else "Of one seed; 95 % intervals are in measures.csv.",
        *([f"For testing only: limited to {' and '.join(limits)}."] if limits else []),
        *found.failures,
    ]


def cells(found: Measured) -> list[list[str]]:
    """Rows of a table."""
    return [
        [name, *(number(column.get(name)) for column in found.columns.values())]
        for name in found.names
    ]


def number(found: Estimate | None) -> str:
    """``0.734 ± 0.012`` or, what is counted, ``984 ± 264``; a dash where it is not defined."""
    if found is None:
        return "-"
    places = 3 if abs(found.mean) < 10 else 1 if abs(found.mean) < 100 else 0
    spread = "" if found.spread is None else f" \u00b1 {found.spread:.{places}f}"
    return f"{found.mean:.{places}f}{spread}"


def terminal(found: Measured) -> Group:
    """For a terminal of 80 columns and more: methods as rows, a few numbers side by side."""
    tables = [part for names in blocks(found.names) for part in (_block(found, names), "")]
    return Group(Text(title(found), style="bold"), *tables, Text("\n".join(caption(found)), "dim"))


def blocks(names: Iterable[str]) -> list[list[str]]:
    """Three at most in a block; names that differ only after their last comma stand together."""
    families, alone = dict[str, list[str]](), list[str]()
    for name in names:
        families.setdefault(name.rpartition(", ")[0] or name, []).append(name)
    for family in [family for family, members in families.items() if len(members) == 1]:
        alone += families.pop(family)
    every = [alone, *families.values()]
    return [group[k : k + 3] for group in every for k in range(0, len(group), 3)]


def _block(found: Measured, names: list[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("", overflow="fold")
    for name in names:
        table.add_column(Text(name), justify="right", max_width=17)
    for label, column in found.columns.items():
        numbers = (number(column.get(name)) for name in names)
        table.add_row(Text(label), *map(Text, numbers))
    return table


def markdown(found: Measured) -> str:
    """A GitHub table with its caption."""
    rows = [["", *found.columns], ["---", *["---:"] * len(found.columns)], *cells(found)]
    lines = [" | ".join(escaped(cell) for cell in row) for row in rows]
    table = "\n".join(f"| {line} |" for line in lines)
    below = escaped(" ".join(caption(found)))
    return f"### {escaped(title(found))}\n\n{table}\n\n{below}\n"


def draw(found: Measured, look: Look, folder: Path, name: str) -> list[Path]:
    """A figure for each curve, all methods in it."""
    return [_draw(found, drawn, look, folder, name) for drawn in found.curves]


def _draw(found: Measured, drawn: Drawn, look: Look, folder: Path, name: str) -> Path:
    with style.context(STYLE):
        figure = Figure(figsize=(5.4, 3.2), layout="constrained")
        axes = figure.add_subplot()
        figure.suptitle(f"{title(found)}\n{drawn.name}", fontsize=8)
        for label, (x, mean, low, high) in drawn.lines.items():
            colour, _ = look[label]
            axes.plot(x, mean, color=colour, label=label)
            axes.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)
        axes.set_xlabel(drawn.x_label)
        axes.set_ylabel(drawn.y_label)
        axes.set_ylim(0, 1)
        if _wide(drawn.lines.values()):
            logarithmic(axes, (1,))
        rows = pd.DataFrame(list(_points(drawn.lines.items())))
        plain = re.sub(r"[^a-z0-9]+", "-", drawn.name.lower())
        return save(figure, axes, rows, folder / f"{plain}-{name}")


def _wide(lines: Iterable[tuple[list[float], ...]]) -> bool:
    """Whether what is counted goes from one to thousands."""
    places = [x for line in lines for x in line[0]]
    return min(places) >= 1 and max(places) >= 1000 * min(places)


def _points(lines: Iterable[tuple[str, tuple[list[float], ...]]]) -> Iterable[dict[str, object]]:
    for label, points in lines:
        for x, mean, low, high in zip(*points, strict=True):
            yield {"method": label, "x": x, "mean": mean, "low": low, "high": high}
