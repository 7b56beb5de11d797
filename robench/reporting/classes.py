"""A method's weakest class of test images."""

from collections.abc import Sequence

import pandas as pd

from robench.analysis.classes import ClassLine
from robench.analysis.summary import Summary
from robench.reporting import words
from robench.reporting.table import Table


def table(summary: Summary, found: Sequence[ClassLine]) -> Table:
    """What it shows, a row a method."""
    return Table(
        title=f"Weakest class: {words.title(summary)}",
        header=("method", "class", "its images", "natural there", "worst there", "worst overall"),
        rows=tuple(_row(summary, line) for line in found),
        caption=(
            f"The class of the lowest robust accuracy at {summary.shared['norm']} "
            f"{summary.headline}, per cent of its test images, means over seeds. The lowest of "
            "several is lower than new images of that class would be.",
        ),
    )


def tidy(found: Sequence[ClassLine]) -> pd.DataFrame:
    """A row a method and class."""
    return pd.DataFrame(
        {
            "method": line.label,
            "seeds": line.seeds,
            "class": one.number,
            "n": one.n,
            "natural": one.natural,
            "worst": one.worst,
        }
        for line in found
        for one in line.classes
    )


def _row(summary: Summary, line: ClassLine) -> tuple[str, ...]:
    weakest, n = line.weakest, int(str(summary.shared["n"]))
    whole = next(one for one in summary.lines if one.label == line.label).worst[summary.headline]
    accuracies = [words.percent(share, weakest.n) for share in (weakest.natural, weakest.worst)]
    return (
        line.label, str(weakest.number), str(weakest.n), *accuracies, words.percent(whole.mean, n),
    )  # fmt: skip
