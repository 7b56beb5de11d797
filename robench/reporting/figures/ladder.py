"""The order of a table's methods: a step a method, groups inside the noise on common ground."""

import pandas as pd

from robench.analysis.ranking import Rank
from robench.analysis.summary import Summary
from robench.reporting import words
from robench.reporting.charts.chart import Axis, Chart, Series
from robench.reporting.figures.heading import ball, estimates, heading, percents


def chart(summary: Summary, ranks: list[Rank]) -> Chart:
    """Natural and robust accuracy of each; every other group on a grey ground."""
    lines = {line.label: line for line in summary.lines}
    ticks = [(float(-step), words.named(summary, lines[r.label])) for step, r in enumerate(ranks)]
    shaded = [(-step - 0.5, -step + 0.5) for step, r in enumerate(ranks) if r.group % 2 == 0]
    steps = [_robust(summary, rank, step) for step, rank in enumerate(ranks)]
    natural = Series(
        x=percents(lines[rank.label].natural.mean for rank in ranks),
        y=tuple(float(-step) for step in range(len(ranks))),
    )
    rows = [
        {"group": rank.group, "method": rank.label, "natural": lines[rank.label].natural.mean,
         "worst": worst.mean, "low": worst.low, "high": worst.high}
        for rank in ranks
        for worst in [lines[rank.label].worst[summary.headline]]
    ]  # fmt: skip
    return Chart(
        kind="ranking",
        title=heading(
            summary,
            "The order of methods; those on common ground are inside the noise of their first",
        ),
        x=Axis(label=f"accuracy (%): natural, grey; robust at {ball(summary)}, with intervals"),
        y=Axis(ticks=tuple(ticks), low=-len(ranks) + 0.5, high=0.5),
        series=(natural, *steps),
        shaded=tuple(shaded),
        wide=True,
        height=0.6 + 0.14 * len(ranks),
        rows=pd.DataFrame(rows),
    )


def _robust(summary: Summary, rank: Rank, step: int) -> Series:
    line = next(line for line in summary.lines if line.label == rank.label)
    worst = line.worst[summary.headline]
    lying = estimates("", rank.label, [-step], [worst])
    said = f"{rank.label}: robust {100 * worst.mean:.1f} %, group {rank.group}"
    return Series(
        of=rank.label, x=lying.y, y=lying.x, left=lying.low, right=lying.high, notes=(said,)
    )
