"""How accuracy on validation images went while training, and which epoch was chosen."""

from collections.abc import Iterator

import pandas as pd

from robench.analysis.summary import Line, Summary
from robench.reporting.charts.chart import Axis, Chart, Numbers, Panels, Series
from robench.reporting.figures.heading import percents

MOST = 12
"""Panels of a figure: those of the first methods; the page has a curve of every training."""

_SHOWN = ("validation_natural", "validation_robust")


def panels(summary: Summary, epochs: pd.DataFrame, results: pd.DataFrame) -> Panels | None:
    """A panel a method, mean and range over seeds; none where nothing was validated."""
    chosen = results[results["checkpoint"] == "best"].drop_duplicates("cell")
    best = dict(zip(chosen["cell"], chosen["epoch"], strict=True))
    seen = epochs.dropna(subset=["validation_natural"])
    charts = [_chart(line, seen[seen["cell"].isin(line.cells)], best) for line in summary.lines]
    charts = [chart for chart in charts if chart.series]
    if not charts:
        return None
    shared, few = summary.shared, f"; the first {MOST} of {len(charts)}" * (len(charts) > MOST)
    rows = seen[seen["cell"].isin([cell for line in summary.lines for cell in line.cells])]
    return Panels(
        kind="training",
        title=f"{shared['dataset']}, {shared['model']}: validation images while training, robust "
        "accuracy and, dashed, natural accuracy; mean and range over seeds; a mark where the best "
        f"checkpoint was taken{few}",
        charts=tuple(charts[:MOST]),
        rows=rows[["method", "settings", "seed", "cell", "epoch", *_SHOWN]],
    )


def _chart(line: Line, epochs: pd.DataFrame, best: dict[str, int]) -> Chart:
    return Chart(
        kind="",
        title=line.label,
        x=Axis(label="epoch"),
        y=Axis(label="accuracy (%)", low=0, high=100),
        series=tuple(_series(line, epochs, best)),
    )


def _series(line: Line, epochs: pd.DataFrame, best: dict[str, int]) -> Iterator[Series]:
    for column in _SHOWN:
        known = epochs.dropna(subset=[column])
        if known.empty:
            continue
        over = known.groupby("epoch")[column].agg(["mean", "min", "max"])
        x: Numbers = tuple(map(float, over.index))
        plain = column == "validation_natural"
        yield Series(
            of="" if plain else line.label,
            x=x,
            y=percents(over["mean"]),
            low=percents(over["min"]),
            high=percents(over["max"]),
            stroke="--" if plain else "-",
            marked=False,
            band=True,
        )
        taken = known[known["epoch"] == known["cell"].map(best)] if not plain else known[:0]
        if len(taken):
            y = percents(taken[column])
            at = tuple(map(float, taken["epoch"]))
            yield Series(of=line.label, x=at, y=y)
