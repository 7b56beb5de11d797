"""Tables of the union over threat models, on a terminal and in Markdown."""

from rich.console import Group

from robench.analysis.summary import Estimate
from robench.analysis.union import UnionLine, UnionTable
from robench.reporting import tables
from robench.reporting.words import VERDICTS, estimate, mean


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


def markdown(found: UnionTable) -> str:
    """A GitHub table with its caption."""
    return tables.written(title(found), header(found), cells(found), caption(found))


def least_width(found: UnionTable) -> int:
    """Columns of a terminal below which a number would be broken over two lines."""
    return tables.width_of(cells(found))


def terminal(found: UnionTable) -> Group:
    """For a terminal of 80 columns and more."""
    return tables.drawn(title(found), header(found), cells(found), caption(found))


def _row(found: UnionTable, line: UnionLine) -> list[str]:
    n, seeds = int(str(found.shared["n"])), len(line.seeds)
    short = f" (n={seeds})" if seeds < found.seeds else ""
    single = [_number(value, n) for value in (line.natural, *line.norms)]
    label = line.label + " †" * bool(line.deviates) + short
    return [label, line.trained, *single, estimate(line.union, n)]


def _number(found: Estimate, n: int) -> str:
    """With its spread over seeds, where there are several."""
    return mean(found, n, 1) if found.spread is None else estimate(found, n)
