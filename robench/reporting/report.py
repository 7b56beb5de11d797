"""The report of a results folder: tables and figures, and one page that holds them together."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from robench import __version__
from robench.analysis import claims
from robench.analysis.claims import Tested
from robench.analysis.corruption import with_mce
from robench.analysis.measured import Measured, measured
from robench.analysis.ranking import ranking
from robench.analysis.summary import Summary, summaries
from robench.analysis.table import read, write_tables
from robench.analysis.transfer import Matrix, matrices
from robench.analysis.transfer import read as read_transfers
from robench.analysis.union import UnionTable, unions
from robench.errors import ConfigError, StoreError
from robench.names import in_a_file_name
from robench.reporting import claims as said
from robench.reporting import figures, measures, sweeps, tables, traces
from robench.reporting import ranking as order
from robench.reporting import transfer as crossed
from robench.reporting import unions as united
from robench.reporting.words import escaped
from robench.store.files import digest, write_text
from robench.store.records import cell_folders

_NAMED = re.compile(r".+-[0-9a-f]{8}")
"""Files that carry a table's name; others in the folder are not the report's."""


@dataclass(frozen=True)
class Report:
    """What a folder's results come to."""

    summaries: list[Summary]
    unions: list[UnionTable]
    measured: list[Measured]
    claims: list[Tested]
    problems: list[str]
    """Files that could not be trusted."""
    written: Path | StoreError
    """The page, or why there is none."""


def report(results: Path) -> Report:
    """Gather a folder's cells, and write its tidy tables and ``report/`` where it can be written.

    Raises:
        ConfigError: the folder has no cells, or none that can be trusted.
    """
    if not cell_folders(results):
        raise ConfigError(f"{results} holds no results; robench run --results fills a folder")
    refused: StoreError | None = None
    try:
        frames, problems = write_tables(results)
    except StoreError as error:
        (frames, problems), refused = read(results), error
    if frames["results"].empty and frames["measures"].empty:
        raise ConfigError(f"{results} holds no results that can be trusted: {problems[0]}")
    found = (
        summaries(frames["results"]),
        unions(frames["union"]),
        measured(with_mce(frames["measures"]), frames["curves"]),
        [claims.examine(claim, frames, results) for claim in claims.read_claims(results)],
    )
    if refused is not None:
        return Report(*found, problems, refused)
    try:
        return Report(*found, problems, _write(*found, frames, problems, results))
    except StoreError as error:
        return Report(*found, problems, error)


def _write(
    found: list[Summary],
    over_norms: list[UnionTable],
    measuring: list[Measured],
    tested: list[Tested],
    frames: Mapping[str, pd.DataFrame],
    problems: list[str],
    results: Path,
) -> Path:
    """Every table and figure in a file of its own, and the page."""
    folder = _inside(results)
    transfers = _matrices(results, problems)
    drawn_together = [[line.label for line in summary.lines] for summary in found]
    for summary in found:
        drawn_together += traces.together(summary, frames["epochs"])
    look = figures.looks(drawn_together + [[*table.columns] for table in measuring])
    page = [
        f"# Report of {escaped(results.resolve().name)}",
        f"Written by robench {__version__}.",
        *_tested(tested, folder),
        *_over_norms(over_norms, folder),
        *_attacked(found, frames, look, results),
        *_measured(measuring, look, folder),
        *_transferred(transfers, folder),
        *_not_trusted(problems),
    ]
    write_text(folder / "tables" / "tables.csv", tables.tidy(found).to_csv(index=False))
    path = folder / "report.md"
    text = "\n\n".join(part for part in page if part) + "\n"
    write_text(path, text)
    names = [_name(summary.shared) for summary in found]
    names += [_name(table.shared) for table in measuring]
    names += [_name_of_union(union) for union in over_norms]
    names += [_name_of_transfer(matrix) for matrix in transfers]
    _sweep(folder, names, text)
    return path


def _tested(tested: list[Tested], folder: Path) -> list[str]:
    if not tested:
        return []
    write_text(folder / "tables" / "claims.md", f"{said.overview(tested)}\n")
    write_text(folder / "tables" / "claims.csv", said.tidy(tested).to_csv(index=False))
    return [said.markdown(tested)]


def _over_norms(over_norms: list[UnionTable], folder: Path) -> list[str]:
    page: list[str] = []
    for union in over_norms:
        page += _section(folder, _name_of_union(union), united.markdown(union), [])
    return page


def _attacked(
    found: list[Summary], frames: Mapping[str, pd.DataFrame], look: figures.Look, results: Path
) -> list[str]:
    folder, page = results / "report", list[str]()
    drawn = set[str]()
    for summary in found:
        name = _name(summary.shared)
        shown = _figures(summary, look, folder, name)
        page += _section(folder, name, tables.markdown(summary), shown)
        page += _ranked(summary, frames["results"], look, results, name)
        cells = {cell for line in summary.lines for cell in line.cells}
        if not cells <= drawn:  # several suites attack the same trainings
            traced = traces.draw(summary, frames["epochs"], look, folder / "figures", name)
            page.append(_shown(traced))
            drawn |= cells
    return page


def _measured(measuring: list[Measured], look: figures.Look, folder: Path) -> list[str]:
    page: list[str] = []
    for table in measuring:
        name = _name(table.shared)
        shown = measures.draw(table, look, folder / "figures", name)
        page += _section(folder, name, measures.markdown(table), shown)
    return page


def _matrices(results: Path, problems: list[str]) -> list[Matrix]:
    """Those of transfer.csv, which a command of its own writes."""
    try:
        return matrices(read_transfers(results))
    except StoreError as error:
        problems.append(str(error))
        return []


def _transferred(transfers: list[Matrix], folder: Path) -> list[str]:
    page: list[str] = []
    for matrix in transfers:
        name = _name_of_transfer(matrix)
        drawn = crossed.draw(matrix, folder / "figures", name)
        page += _section(folder, name, crossed.markdown(matrix), [drawn])
    return page


def _not_trusted(problems: list[str]) -> list[str]:
    said_of = "\n".join(f"- {escaped(problem)}" for problem in problems)
    return [f"### Not trusted\n\n{said_of}"] if problems else []


def _figures(summary: Summary, look: figures.Look, folder: Path, name: str) -> list[Path]:
    if not summary.lines:
        return []
    places = summary, look, folder / "figures", name
    return [figures.tradeoff(*places), figures.curve(*places), *sweeps.draw(*places)]


def _ranked(
    summary: Summary, rows: pd.DataFrame, look: figures.Look, results: Path, name: str
) -> list[str]:
    """The order of a table's methods, where there are enough of them."""
    ranks, folder = ranking(summary, rows, results), results / "report"
    if not ranks:
        return []
    tidy = order.tidy(summary, ranks)
    write_text(folder / "tables" / f"ranking-{name}.csv", tidy.to_csv(index=False))
    drawn = order.draw(summary, ranks, look, folder / "figures", name)
    return [order.markdown(summary, ranks), _shown(drawn)]


def _section(folder: Path, name: str, table: str, drawn: list[Path]) -> list[str]:
    """A table in a file of its own, and on the page with its figures."""
    write_text(folder / "tables" / f"{name}.md", table)
    return [table, _shown(drawn)]


def _shown(drawn: list[Path]) -> str:
    return "\n".join(f"![{path.stem}](figures/{path.name})" for path in drawn)


def _sweep(folder: Path, names: list[str], page: str) -> None:
    """Take away the tables and figures of an earlier report that this one does not have."""
    for path in [*folder.glob("tables/*.*"), *folder.glob("figures/*.*")]:
        here = path.stem.removeprefix("ranking-") in names or f"![{path.stem}]" in page
        if _NAMED.fullmatch(path.stem) and not here:
            path.unlink()


def _name(of: Mapping[str, object]) -> str:
    """A table's file name, which stays as it is when others come to stand beside it."""
    shared = {name: str(value) for name, value in of.items()}
    said = "-".join(shared[name] for name in ("dataset", "model", "suite", "norm"))
    return f"{in_a_file_name(said.replace(' @', '-'))}-{digest(shared)[:8]}"


def _name_of_union(table: UnionTable) -> str:
    norms = "-".join(radius.split()[0] for radius in table.radii)
    by = {"by": table.shared["suite"], "suite": "union", "norm": norms}
    return _name({**table.shared, **by})


def _name_of_transfer(matrix: Matrix) -> str:
    return _name({**matrix.shared, "suite": f"transfer-{matrix.shared['attack']}"})


def _inside(results: Path) -> Path:
    """The report's folder; an error where a link leads out of the results, which may be foreign."""
    folder = results / "report"
    for path in (folder, folder / "tables", folder / "figures"):
        if not path.resolve().is_relative_to(results.resolve()):
            raise StoreError(f"{path} leads out of {results}: nothing is written there")
    return folder
