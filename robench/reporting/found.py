"""What a results folder comes to, before any of it is written."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from robench.analysis import claims
from robench.analysis.agreement import agreements
from robench.analysis.claims import Tested
from robench.analysis.corruption import with_mce
from robench.analysis.friedman import friedman
from robench.analysis.gaps import Gap, gaps
from robench.analysis.measured import Measured, measured
from robench.analysis.references import read_published, references
from robench.analysis.summary import Summary, labelled, summaries
from robench.analysis.table import Gathered
from robench.analysis.transfer import Matrix, matrices
from robench.analysis.transfer import read as read_transfers
from robench.analysis.union import UnionTable, unions
from robench.analysis.worst import Side, of_table
from robench.errors import StoreError
from robench.reporting import sections
from robench.reporting.charts.look import Look, looks
from robench.reporting.section import Section


@dataclass(frozen=True)
class Report:
    """What a folder's results come to."""

    results: Path
    gathered: Gathered
    """Its results have the names that tables give their methods and suites."""
    summaries: list[Summary]
    unions: list[UnionTable]
    measured: list[Measured]
    transfers: list[Matrix]
    claims: list[Tested]
    gaps: list[Gap]
    """What is not there."""
    problems: list[str]
    """Files that could not be trusted."""
    sections: list[Section] = field(default_factory=list)

    @property
    def look(self) -> Look:
        """Colours and markers, the same on the page and on paper."""
        drawn = [figure.of for section in self.sections for figure in section.figures]
        return looks(labels for labels in drawn if labels)


def find(results: Path, gathered: Gathered) -> Report:
    """Everything that the cells of a folder say."""
    frames, problems = {**gathered.frames}, list(gathered.problems)
    frames["results"] = labelled(frames["results"])  # once for all that follows
    try:
        transfers = matrices(read_transfers(results))
    except StoreError as error:
        transfers = []
        problems.append(str(error))
    found = Report(
        results,
        replace(gathered, frames=frames),
        summaries(frames["results"]),
        unions(frames["union"]),
        measured(with_mce(frames["measures"]), frames["curves"]),
        transfers,
        [claims.examine(claim, frames, results) for claim in claims.read_claims(results)],
        gaps(results, gathered.cells, gathered.unfinished),
        problems,
    )
    found.sections.extend(_sections(found))
    return found


def _sections(found: Report) -> Iterator[Section]:
    frames, traced = found.gathered.frames, set[str]()
    published = read_published(found.results)
    yield from map(sections.of_union, found.unions)
    yield from map(sections.of_friedman, friedman(found.summaries, frames["results"]))
    compared = [(summary, _sides(found, summary)) for summary in found.summaries]
    for summary, sides in compared:
        yield from _of_summary(found, summary, sides)
        yield from sections.of_references(references(summary, published))
        cells = {cell for line in summary.lines for cell in line.cells}
        if not cells <= traced:  # several suites attack the same trainings
            yield from sections.of_training(summary, found.gathered)
            traced |= cells
    yield from map(sections.of_agreement, agreements(compared))
    for numbers in found.measured:
        yield sections.of_measures(numbers)
        yield from _tried(found, sections.of_measured_attacks(numbers, found.results))
    yield from map(sections.of_transfer, found.transfers)


def _sides(found: Report, summary: Summary) -> list[Side]:
    """The outcomes of a table's lines; of images that are not alike nothing is compared."""
    try:
        return of_table(summary, found.gathered.frames["results"], found.results)
    except StoreError as error:
        found.problems.append(str(error))
        return []


def _of_summary(found: Report, summary: Summary, sides: list[Side]) -> Iterator[Section]:
    """A table and what its images say."""
    gathered = found.gathered
    yield from sections.of_summary(summary, sides)
    yield from _tried(
        found,
        sections.of_attacks(summary, gathered),
        sections.of_checkpoints(summary, gathered, found.results),
        sections.of_classes(summary, gathered),
        sections.of_images(summary, gathered),
    )


def _tried(found: Report, *parts: Iterator[Section]) -> Iterator[Section]:
    """Those that outcomes and images on disk bear out; of the others it is said why not."""
    for part in parts:
        try:
            yield from part
        except StoreError as error:
            found.problems.append(str(error))
