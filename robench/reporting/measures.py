"""Tables of what suites measure."""

from collections.abc import Iterable

import pandas as pd
import rich.table
from rich import box
from rich.console import Group
from rich.text import Text

from robench.analysis.measured import Measured
from robench.analysis.summary import Estimate
from robench.reporting.table import Table, rows_of


def table(found: Measured) -> Table:
    """What it shows, a column a method; what is better depends on what is measured."""
    return Table(
        title=title(found), header=("", *found.columns), rows=rows_of(cells(found)),
        caption=tuple(caption(found)),
    )  # fmt: skip


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


def _block(found: Measured, names: list[str]) -> rich.table.Table:
    table = rich.table.Table(
        box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False
    )
    table.add_column("", overflow="fold")
    for name in names:
        table.add_column(Text(name), justify="right", max_width=17)
    for label, column in found.columns.items():
        numbers = (number(column.get(name)) for name in names)
        table.add_row(Text(label), *map(Text, numbers))
    return table


def tidy(found: Measured) -> pd.DataFrame:
    """A row a method and number."""
    return pd.DataFrame(
        {
            **found.shared,
            "method": label,
            "name": name,
            "seeds": number.seeds,
            "mean": number.mean,
            "spread": number.spread,
            "low": number.low,
            "high": number.high,
        }
        for label, column in found.columns.items()
        for name, number in column.items()
    )
