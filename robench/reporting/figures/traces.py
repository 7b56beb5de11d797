"""What methods log while they train, epoch by epoch: a dual variable, radii, shares of cases."""

from collections.abc import Iterator

import pandas as pd

from robench.analysis.summary import Line, Summary
from robench.analysis.table import COLUMNS
from robench.names import in_a_file_name
from robench.reporting.charts.chart import Axis, Chart, Series, Stroke, values

_STROKES: tuple[Stroke, ...] = ("-", "--", ":", "-.")


def logged(epochs: pd.DataFrame, line: Line) -> pd.DataFrame:
    """What a method logged: mean, smallest and largest over its seeds, by name and epoch."""
    mine = epochs[epochs["cell"].isin(line.cells)]
    names = [name for name in mine if name not in COLUMNS["epochs"] and mine[name].notna().any()]
    if not names:
        return pd.DataFrame()
    long = mine.set_index("epoch")[names].stack().dropna().rename_axis(["epoch", "name"])
    return long.groupby(["name", "epoch"]).agg(["mean", "min", "max"]).reset_index()


def charts(summary: Summary, epochs: pd.DataFrame) -> list[Chart]:
    """A figure for each quantity; its parts, ``name/part``, are strokes of one panel."""
    own = [name for name in epochs if name not in COLUMNS["epochs"]]
    if not own:
        return []
    epochs = epochs[["cell", "epoch", *own]]
    traces = {line.label: logged(epochs, line) for line in summary.lines}
    found = [trace.assign(method=label) for label, trace in traces.items() if len(trace)]
    if not found:
        return []
    rows = pd.concat(found)
    parts = rows.groupby(rows["name"].str.partition("/")[0])
    return [_chart(summary, str(quantity), part) for quantity, part in parts]


def _chart(summary: Summary, quantity: str, rows: pd.DataFrame) -> Chart:
    shared = summary.shared
    seeds = max(len(line.cells) for line in summary.lines)
    several = ", mean and range over seeds" if seeds > 1 else ""
    return Chart(
        kind=f"trace-{in_a_file_name(quantity)}",
        title=f"{shared['dataset']}, {shared['model']}: {quantity} over training{several}",
        x=Axis(label="epoch"),
        y=Axis(label=quantity),
        series=tuple(_series(rows)),
        rows=rows,
    )


def _series(rows: pd.DataFrame) -> Iterator[Series]:
    strokes = dict(zip(rows["name"].unique(), _STROKES * len(rows), strict=False))
    for (label, trace), part in rows.groupby(["method", "name"], sort=False):
        said = str(trace).partition("/")[2]
        yield Series(
            label=f"{label} {said}" if said else str(label),
            of=str(label),
            x=values(part["epoch"]),
            y=values(part["mean"]),
            low=values(part["min"]),
            high=values(part["max"]),
            stroke=strokes[trace],
            marked=False,
            band=True,
        )
