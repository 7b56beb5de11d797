"""What the first attack leaves against the worst case: how far a weak attack would flatter."""

import pandas as pd

from robench.analysis.summary import Summary
from robench.reporting.charts.chart import Axis, Chart, Rule, Series
from robench.reporting.figures.heading import attacked, ball, heading, percents


def chart(summary: Summary) -> Chart | None:
    """A point a method, above the diagonal by its gap; none from a suite of one attack."""
    lines = attacked(summary)
    if len(summary.attacks) < 2 or not lines:
        return None
    first = summary.attacks[0]
    lines = [line for line in lines if first in line.attacks]
    rows = [
        {"method": line.label, "first": line.attacks[first].mean,
         "worst": line.worst[summary.headline].mean, "gap": line.gap}
        for line in lines
    ]  # fmt: skip
    points = tuple(
        Series(
            label=line.label,
            of=line.label,
            x=percents([line.worst[summary.headline].mean]),
            y=percents([line.attacks[first].mean]),
            notes=(f"{line.label}: {100 * line.gap:.1f} points above the worst case",),
        )
        for line in lines
    )
    return Chart(
        kind="overestimation",
        title=heading(
            summary, "The first attack against the worst case: above the diagonal lies its gap"
        ),
        x=Axis(label=f"worst case of the suite (%), {ball(summary)}", low=0),
        y=Axis(label=f"after {first} alone (%)", low=0),
        series=points,
        rules=(Rule(along="diagonal"),),
        rows=pd.DataFrame(rows),
    )
