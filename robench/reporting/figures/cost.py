"""Robust accuracy against what training costs."""

import pandas as pd

from robench.analysis.summary import Summary
from robench.reporting.charts.chart import Axis, Chart
from robench.reporting.figures.heading import attacked, ball, estimates, heading


def chart(summary: Summary) -> Chart | None:
    """A point a method; none where fewer than two are known to have cost anything."""
    lines = [line for line in attacked(summary) if line.cost > 0]
    if len(lines) < 2:
        return None
    rows = [
        {"method": line.label, "passes": line.cost, "worst": line.worst[summary.headline].mean}
        for line in lines
    ]
    return Chart(
        kind="cost",
        title=heading(summary, "Robust accuracy against the cost of training"),
        x=Axis(label="passes in training (images; a backward pass counts as two)", scale="counts"),
        y=Axis(label=f"robust accuracy (%), {ball(summary)}"),
        series=tuple(
            estimates(line.label, line.label, [line.cost], [line.worst[summary.headline]])
            for line in lines
        ),
        rows=pd.DataFrame(rows),
    )
