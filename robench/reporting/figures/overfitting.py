"""Best against last checkpoint: a step a method, from the one to the other."""

from collections.abc import Iterator, Sequence

from robench.analysis.overfitting import Overfitting
from robench.analysis.summary import Summary
from robench.reporting.charts.chart import Axis, Chart, Series
from robench.reporting.figures.heading import ball, heading, percents
from robench.reporting.overfitting import tidy


def chart(summary: Summary, found: Sequence[Overfitting]) -> Chart | None:
    """What was lost since the best epoch; none where no method has two checkpoints apart."""
    if not any(one.best != one.last for one in found):
        return None
    return Chart(
        kind="overfitting",
        title=heading(summary, "Best against last checkpoint"),
        x=Axis(label=f"robust accuracy (%), {ball(summary)}: best, filled; last, grey"),
        y=Axis(
            ticks=tuple((float(-step), one.label) for step, one in enumerate(found)),
            low=-len(found) + 0.5,
            high=0.5,
        ),
        series=tuple(part for step, one in enumerate(found) for part in _step(one, float(-step))),
        wide=True,
        height=0.6 + 0.14 * len(found),
        rows=tidy(summary, found),
    )


def _step(one: Overfitting, at: float) -> Iterator[Series]:
    best, last = percents([one.best, one.last])
    fall = f"{one.label}: best {best:.1f} %, last {last:.1f} %"
    yield Series(of=one.label, x=(best, last), y=(at, at), stroke="-", marked=False)
    yield Series(x=(last,), y=(at,), notes=(fall,))
    yield Series(of=one.label, x=(best,), y=(at,), notes=(fall,))
