"""Tables of the union over threat models."""

import pandas as pd

from robench.analysis.summary import Estimate
from robench.analysis.union import UnionLine, UnionTable
from robench.reporting.table import Table, leaders, rows_of
from robench.reporting.words import VERDICTS, estimate, mean


def table(found: UnionTable) -> Table:
    """What it shows; who leads is chosen among methods with as many seeds as any."""
    rows = rows_of(cells(found))
    fair = [at for at, line in enumerate(found.lines) if len(line.seeds) == found.seeds]
    best, second = leaders(rows, range(2, len(header(found))), fair)
    return Table(
        title=title(found), header=tuple(header(found)), rows=rows, caption=tuple(caption(found)),
        best=best, second=second,
    )  # fmt: skip


def title(found: UnionTable) -> str:
    """What a table is about, in a line."""
    shared = found.shared
    recipe = f", recipe {shared['recipe']}" if shared["recipe"] else ""
    place = f"{shared['dataset']}, {shared['model']}{recipe}"
    return f"Union over threat models: {place}, attacked at {shared['radii']}"


def header(found: UnionTable) -> list[str]:
    """Columns; the last one is the union."""
    return ["method", "trained at", "natural", *found.radii, "union"]


def cells(found: UnionTable) -> list[list[str]]:
    """Rows, those of the largest union first."""
    return [_row(found, line) for line in found.lines]


def caption(found: UnionTable) -> list[str]:
    """What a reader has to know, a sentence a line."""
    shared, several = found.shared, found.seeds > 1
    spread = f"; ± is the standard deviation over up to {found.seeds} seeds" if several else ""
    single = any(len(line.seeds) == 1 for line in found.lines)
    interval = "; of one seed the union has its 95 % Wilson interval" if single else ""
    limits = [
        f"{int(str(shared[key])):,} {kind} images"
        for key, kind in (("train_limit", "training"), ("test_limit", "test"))
        if shared[key] is not None
    ]
    said = [
        f"Per cent of {shared['n']} test images{spread}{interval}.",
        "union: right in every norm, image by image.",
        f"{shared['suite']}: {VERDICTS[str(shared['verdict'])]}.",
        "trained at: the grid's ball; a method may train against others as well.",
        f"Checkpoint: {found.checkpoint}.",
        f"For testing only: limited to {' and '.join(limits)}." if limits else "",
        "† departs from the shared recipe." if any(line.deviates for line in found.lines) else "",
    ]
    return [line for line in said if line]


def tidy(found: UnionTable) -> pd.DataFrame:
    """A row a method and what it was trained at."""
    norms = [radius.split()[0] for radius in found.radii]
    return pd.DataFrame(
        {
            **found.shared,
            "checkpoint": found.checkpoint,
            "method": line.label,
            "deviates": line.deviates,
            "trained": line.trained,
            "seeds": len(line.seeds),
            "natural": line.natural.mean,
            **{norm: one.mean for norm, one in zip(norms, line.norms, strict=True)},
            "union": line.union.mean,
            "union_spread": line.union.spread,
            "union_low": line.union.low,
            "union_high": line.union.high,
        }
        for line in found.lines
    )


def _row(found: UnionTable, line: UnionLine) -> list[str]:
    n, seeds = int(str(found.shared["n"])), len(line.seeds)
    short = f" (n={seeds})" if seeds < found.seeds else ""
    single = [_number(value, n) for value in (line.natural, *line.norms)]
    label = line.label + " †" * bool(line.deviates) + short
    return [label, line.trained, *single, estimate(line.union, n)]


def _number(found: Estimate, n: int) -> str:
    """With its spread over seeds, where there are several."""
    return mean(found, n, 1) if found.spread is None else estimate(found, n)
