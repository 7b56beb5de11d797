"""Everything that a folder's results come to, section by section."""

from collections.abc import Iterable, Iterator

import pandas as pd

from robench.analysis.measured import Measured
from robench.analysis.ranking import Rank
from robench.analysis.references import Beside
from robench.analysis.rows import TrainedCell
from robench.analysis.summary import Summary
from robench.analysis.transfer import Matrix
from robench.analysis.union import UnionTable
from robench.reporting import measures, ranking, references, tidy, transfer, unions, words
from robench.reporting.charts.chart import Chart, Figure
from robench.reporting.figures import (
    cost,
    curves,
    gallery,
    ladder,
    overestimation,
    radii,
    sweeps,
    traces,
    tradeoff,
    training,
)
from robench.reporting.figures import transfer as crossed
from robench.reporting.section import Section, name


def of_summary(summary: Summary, ranks: list[Rank]) -> Iterator[Section]:
    """A table of accuracies with its figures, and the order of its methods."""
    own = name(summary.shared)
    drawn = (
        [tradeoff.chart(summary), radii.chart(summary), overestimation.chart(summary)]
        if summary.lines
        else []
    )
    yield Section(
        of=own,
        table=words.table(summary),
        rows=tidy.accuracies([summary]),
        printed=True,
        figures=_there([*drawn, *sweeps.charts(summary)]),
    )
    if ranks:
        yield Section(
            of=own,
            kind="ranking",
            table=ranking.table(summary, ranks),
            rows=ranking.tidy(summary, ranks),
            figures=_there([ladder.chart(summary, ranks), cost.chart(summary)]),
            below=True,
        )


def of_references(found: list[Beside]) -> Section:
    """What others have published beside what was measured."""
    return Section(
        of=name(found[0].summary.shared),
        kind="published",
        table=references.table(found),
        rows=references.tidy(found),
        printed=True,
        below=True,
    )


def of_images(summary: Summary, cells: list[TrainedCell]) -> Section | None:
    """Images that fell, where they were saved.

    Raises:
        StoreError: images are damaged.
    """
    found = tuple(gallery.charts(summary, cells))
    return Section(of=name(summary.shared), figures=found, below=True) if found else None


def of_training(summary: Summary, epochs: pd.DataFrame, results: pd.DataFrame) -> Section | None:
    """How its trainings went."""
    found = _there([training.panels(summary, epochs, results), *traces.charts(summary, epochs)])
    return Section(of=name(summary.shared), figures=found, below=True) if found else None


def of_union(found: UnionTable) -> Section:
    """Over threat models."""
    norms = "-".join(radius.split()[0] for radius in found.radii)
    by = {"by": found.shared["suite"], "suite": "union", "norm": norms}
    return Section(
        of=name({**found.shared, **by}),
        table=unions.table(found),
        rows=unions.tidy(found),
        printed=True,
    )


def of_measures(found: Measured) -> Section:
    """Numbers that are no robust accuracy, and their curves."""
    return Section(
        of=name(found.shared),
        table=measures.table(found),
        rows=measures.tidy(found),
        figures=tuple(curves.charts(found)),
    )


def of_transfer(matrix: Matrix) -> Section:
    """What is crafted on one method and looked at by another."""
    return Section(
        of=name({**matrix.shared, "suite": f"transfer-{matrix.shared['attack']}"}),
        table=transfer.table(matrix),
        rows=matrix.robust.rename_axis("source").reset_index(),
        figures=(crossed.chart(matrix),),
    )


def _there(figures: Iterable[Figure | None]) -> tuple[Figure, ...]:
    """Without those that have nothing to show."""
    return tuple(
        figure
        for figure in figures
        if figure is not None and not (isinstance(figure, Chart) and not figure.series)
    )
