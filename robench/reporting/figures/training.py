"""How accuracy on validation images went while training, and which epoch was chosen."""

from collections.abc import Iterator

import pandas as pd

from robench.analysis.summary import Line, Summary
from robench.reporting.charts.chart import Axis, Chart, Panels, Series, values
from robench.reporting.figures.heading import percents

MOST = 12
"""Panels of a figure: those of the first methods; the page has a curve of every training."""

_OF_ROW = ("method", "settings", "seed", "cell", "epoch")

_SHOWN = ("validation_natural", "validation_robust")

Parts = dict[str, pd.DataFrame]
"""By method."""


def panels(summary: Summary, epochs: pd.DataFrame, results: pd.DataFrame) -> Panels | None:
    """A panel a method, mean and range over seeds; none where nothing was validated."""
    label = {cell: line.label for line in summary.lines for cell in line.cells}
    rows = epochs.loc[epochs["cell"].isin(label.keys()), [*_OF_ROW, *_SHOWN]]
    rows = rows.dropna(subset=["validation_natural"])
    over = {column: _over_seeds(rows, column, label) for column in _SHOWN}
    taken = _taken(rows, results, label)
    charts = [_chart(line, over, taken) for line in summary.lines]
    charts = [chart for chart in charts if chart.series]
    if not charts:
        return None
    shared, few = summary.shared, f"; the first {MOST} of {len(charts)}" * (len(charts) > MOST)
    return Panels(
        kind="training",
        title=f"{shared['dataset']}, {shared['model']}: validation images while training, robust "
        "accuracy and, dashed, natural accuracy; mean and range over seeds; a mark where the best "
        f"checkpoint was taken{few}",
        charts=tuple(charts[:MOST]),
        rows=rows,
    )


def _over_seeds(rows: pd.DataFrame, column: str, label: dict[str, str]) -> Parts:
    """Mean, smallest and largest by epoch, a table a method."""
    known = rows.dropna(subset=[column])
    over = known.groupby([known["cell"].map(label), "epoch"])[column].agg(["mean", "min", "max"])
    return {str(name): part.droplevel(0) for name, part in over.groupby(level=0)}


def _taken(rows: pd.DataFrame, results: pd.DataFrame, label: dict[str, str]) -> Parts:
    """The epochs that best checkpoints were taken at, a table a method."""
    chosen = results[results["checkpoint"] == "best"].drop_duplicates("cell")
    best = dict(zip(chosen["cell"], chosen["epoch"], strict=True))
    known = rows.dropna(subset=["validation_robust"])
    known = known[known["epoch"] == known["cell"].map(best)]
    return {str(name): part for name, part in known.groupby(known["cell"].map(label))}


def _chart(line: Line, over: dict[str, Parts], taken: Parts) -> Chart:
    return Chart(
        kind="",
        title=line.label,
        x=Axis(label="epoch"),
        y=Axis(label="accuracy (%)", low=0, high=100),
        series=tuple(_series(line.label, over, taken)),
    )


def _series(label: str, over: dict[str, Parts], taken: Parts) -> Iterator[Series]:
    for column, parts in over.items():
        if label not in parts:
            continue
        part, plain = parts[label], column == "validation_natural"
        yield Series(
            of="" if plain else label,
            x=values(part.index),
            y=percents(part["mean"]),
            low=percents(part["min"]),
            high=percents(part["max"]),
            stroke="--" if plain else "-",
            marked=False,
            band=True,
        )
        if label in taken and not plain:
            at = taken[label]
            yield Series(of=label, x=values(at["epoch"]), y=percents(at[column]))
