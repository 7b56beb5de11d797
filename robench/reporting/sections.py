"""Everything that a folder's results come to, section by section."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from robench.analysis.agreement import Agreement, between_attacks
from robench.analysis.attacks import attacks
from robench.analysis.classes import classes
from robench.analysis.comparisons import comparisons
from robench.analysis.friedman import Friedman
from robench.analysis.measured import Measured
from robench.analysis.overfitting import overfitting
from robench.analysis.ranking import ranking
from robench.analysis.references import Beside
from robench.analysis.summary import Summary
from robench.analysis.table import Gathered
from robench.analysis.transfer import Matrix
from robench.analysis.union import UnionTable
from robench.analysis.worst import Side
from robench.reporting import (
    agreement,
    friedman,
    measures,
    references,
    tidy,
    transfer,
    unions,
    words,
)
from robench.reporting import attacks as weapons
from robench.reporting import classes as by_class
from robench.reporting import comparisons as pairs
from robench.reporting import overfitting as overfitted
from robench.reporting import ranking as order
from robench.reporting.charts.chart import Chart, Figure
from robench.reporting.figures import agreement as agreeing
from robench.reporting.figures import classes as heat
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
from robench.reporting.figures import overfitting as fallen
from robench.reporting.figures import transfer as crossed
from robench.reporting.section import Section, name


def of_summary(summary: Summary, sides: Sequence[Side]) -> Iterator[Section]:
    """A table of accuracies with its figures, the order of its methods, and all their pairs."""
    own, found = name(summary.shared), comparisons(sides)
    drawn = (
        [tradeoff.chart(summary), radii.chart(summary), overestimation.chart(summary)]
        if summary.lines
        else []
    )
    yield Section(
        of=own,
        table=words.table(summary),
        rows=tidy.accuracies([summary]),
        said=tuple(pairs.said(found)),
        printed=True,
        figures=_there([*drawn, *sweeps.charts(summary)]),
    )
    if ranks := ranking(sides):
        yield Section(
            of=own,
            kind="ranking",
            table=order.table(summary, ranks),
            rows=order.tidy(summary, ranks),
            figures=_there([ladder.chart(summary, ranks), cost.chart(summary)]),
            below=True,
        )
    if found:
        yield Section(
            of=own,
            kind="pairs",
            table=pairs.table(summary, found),
            rows=pairs.tidy(found),
            below=True,
        )


def of_checkpoints(summary: Summary, found: Gathered, results: Path) -> Iterator[Section]:
    """Best against last.

    Raises:
        StoreError: outcomes are missing or damaged.
    """
    lost = overfitting(summary, found.frames["results"], results)
    if lost:
        yield Section(
            of=name(summary.shared),
            kind="overfitting",
            table=overfitted.table(summary, lost),
            rows=overfitted.tidy(summary, lost),
            figures=_there([fallen.chart(summary, lost)]),
            below=True,
        )


def of_attacks(summary: Summary, found: Gathered) -> Iterator[Section]:
    """What each attack broke, and what it cost."""
    lines = attacks(summary, found.frames["results"])
    if lines:
        yield Section(
            of=name(summary.shared),
            kind="attacks",
            table=weapons.table(summary, lines),
            rows=weapons.tidy(lines),
            below=True,
        )


def of_classes(summary: Summary, found: Gathered) -> Iterator[Section]:
    """How accuracy is spread over the classes.

    Raises:
        StoreError: seeds have different images of a class.
    """
    lines = classes(summary, found.frames["results"], found.frames["classes"])
    if lines:
        yield Section(
            of=name(summary.shared),
            kind="classes",
            table=by_class.table(summary, lines),
            rows=by_class.tidy(lines),
            figures=tuple(heat.charts(summary, lines)),
            below=True,
        )


def of_images(summary: Summary, found: Gathered) -> Iterator[Section]:
    """Images that fell, where they were saved.

    Raises:
        StoreError: images are damaged.
    """
    drawn = tuple(gallery.charts(summary, found.cells))
    if drawn:
        yield Section(of=name(summary.shared), figures=drawn, below=True)


def of_references(found: list[Beside]) -> Iterator[Section]:
    """What others have published beside what was measured."""
    if found:
        yield Section(
            of=name(found[0].summary.shared),
            kind="published",
            table=references.table(found),
            rows=references.tidy(found),
            printed=True,
            below=True,
        )


def of_training(summary: Summary, found: Gathered) -> Iterator[Section]:
    """How its trainings went."""
    epochs, results = found.frames["epochs"], found.frames["results"]
    drawn = _there([training.panels(summary, epochs, results), *traces.charts(summary, epochs)])
    if drawn:
        yield Section(of=name(summary.shared), figures=drawn, below=True)


def of_agreement(found: Agreement) -> Section:
    """Which suite or norm breaks what others leave."""
    own = {**found.shared, "suite": "agreement", "norm": found.checkpoint, "of": found.names}
    return Section(
        of=name(own), table=agreement.table(found), rows=agreement.tidy(found),
        figures=(agreeing.chart(found),),
    )  # fmt: skip


def of_friedman(found: Friedman) -> Section:
    """Ranks over several tables."""
    own = {"dataset": "several", "model": "several", "over": found.places, **found.shared}
    return Section(
        of=name(own), kind="ranks", table=friedman.table(found), rows=friedman.tidy([found]),
        printed=True,
    )  # fmt: skip


def of_union(found: UnionTable) -> Section:
    """Over threat models."""
    norms = "-".join(radius.split()[0] for radius in found.radii)
    by = {"by": found.shared["suite"], "suite": "union", "norm": norms}
    return Section(
        of=name({**found.shared, **by}), table=unions.table(found), rows=unions.tidy(found),
        printed=True,
    )  # fmt: skip


def of_measures(found: Measured) -> Section:
    """Numbers that are no robust accuracy, and their curves."""
    return Section(
        of=name(found.shared),
        table=measures.table(found),
        rows=measures.tidy(found),
        figures=tuple(curves.charts(found)),
    )


def of_measured_attacks(found: Measured, results: Path) -> Iterator[Section]:
    """Which attack breaks what others leave, where each was run on every image.

    Raises:
        StoreError: outcomes are missing or damaged.
    """
    if agreed := between_attacks(found, results):
        yield Section(of=name(found.shared), figures=(agreeing.chart(agreed),), below=True)


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
