"""The curves that measures have: accuracy by distance or query, a detector's ROC."""

import re
from collections.abc import Iterable, Iterator

import pandas as pd

from robench.analysis.measured import Drawn, Measured, Points
from robench.reporting import measures
from robench.reporting.charts.chart import Axis, Chart, Series, values


def charts(found: Measured) -> list[Chart]:
    """A figure for each curve, all methods in it."""
    return [_chart(found, drawn) for drawn in found.curves]


def _chart(found: Measured, drawn: Drawn) -> Chart:
    return Chart(
        kind=re.sub(r"[^a-z0-9]+", "-", drawn.name.lower()),
        title=f"{measures.title(found)}\n{drawn.name}",
        x=Axis(label=drawn.x_label, scale="counts" if _wide(drawn.lines.values()) else "linear"),
        y=Axis(label=drawn.y_label, low=0, high=1),
        series=tuple(_series(drawn)),
        rows=pd.DataFrame(list(_points(drawn.lines.items()))),
    )


def _series(drawn: Drawn) -> Iterator[Series]:
    for label, points in drawn.lines.items():
        x, mean, low, high = map(values, points)
        yield Series(label=label, of=label, x=x, y=mean, low=low, high=high, stroke="-",
                     marked=False, band=True)  # fmt: skip


def _wide(lines: Iterable[Points]) -> bool:
    """Whether what is counted goes from one to thousands."""
    places = [x for line in lines for x in line[0]]
    return min(places) >= 1 and max(places) >= 1000 * min(places)


def _points(lines: Iterable[tuple[str, Points]]) -> Iterator[dict[str, object]]:
    for label, points in lines:
        for x, mean, low, high in zip(*points, strict=True):
            yield {"method": label, "x": x, "mean": mean, "low": low, "high": high}
