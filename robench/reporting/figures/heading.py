"""What figures of a table have in common: a heading, axes of accuracy, intervals in per cent."""

from collections.abc import Iterable, Sequence

from robench.analysis.summary import Estimate, Line, Summary
from robench.reporting import words
from robench.reporting.charts.chart import Numbers, Series


def heading(summary: Summary, about: str) -> str:
    """Three lines: what is shown, what it was measured on, and by what."""
    shared = summary.shared
    what = f"{shared['dataset']}, {shared['model']}, {summary.checkpoint} checkpoint"
    verdict = words.VERDICTS[str(shared["verdict"])]
    on = f"{what}, n={shared['n']}, {words.bars(summary)}"
    return f"{about}\n{on}\nsuite {shared['suite']}: {verdict}"


def attacked(summary: Summary) -> list[Line]:
    """Lines that have a worst case at the headline radius."""
    return [line for line in summary.lines if summary.headline in line.worst]


def ball(summary: Summary, eps: str = "") -> str:
    """``Linf 8/255``, by default at the headline radius."""
    return f"{summary.shared['norm']} {eps or summary.headline}"


def percents(numbers: Iterable[float]) -> Numbers:
    """Shares in per cent."""
    return tuple(100 * float(number) for number in numbers)


def estimates(
    label: str, of: str, x: Sequence[float], y: Sequence[Estimate], **how: object
) -> Series:
    """A series of accuracies with their intervals, in per cent."""
    return Series(
        label=label,
        of=of,
        x=tuple(map(float, x)),
        y=percents(e.mean for e in y),
        low=percents(e.low for e in y),
        high=percents(e.high for e in y),
        **how,  # type: ignore[arg-type]
    )


def row(line: Line, eps: str) -> dict[str, object]:
    """A line's numbers behind a figure; at no radius those without attack."""
    found = line.worst.get(eps, line.natural)
    return {
        "method": line.label,
        "seeds": len(line.seeds),
        "natural": line.natural.mean,
        "eps": eps,
        "worst": found.mean,
        "low": found.low,
        "high": found.high,
    }
