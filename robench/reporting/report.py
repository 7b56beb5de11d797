"""The report of a results folder: tables, figures, and two pages that hold them together."""

from collections.abc import Sequence
from pathlib import Path

from robench.analysis.table import gather, write_tables
from robench.errors import ConfigError, StoreError
from robench.reporting import claims as said
from robench.reporting import latex, markdown, tidy
from robench.reporting.charts import paper
from robench.reporting.found import Report, find
from robench.reporting.page import github, html
from robench.reporting.section import NAMED, Section
from robench.store.files import write_text
from robench.store.records import cell_folders


def report(results: Path, *, figures: bool = True) -> tuple[Report, Path | StoreError]:
    """Gather a folder's cells; write its tidy tables and, below ``report/``, all that they come to.

    Returns what was found, and the page, or why there is none: a folder that cannot be written is
    read all the same.

    Raises:
        ConfigError: the folder has no cells, or none that can be trusted.
    """
    if not cell_folders(results):
        raise ConfigError(f"{results} holds no results; robench run --results fills a folder")
    refused: StoreError | None = None
    try:
        gathered = write_tables(results)
    except StoreError as error:
        gathered, refused = gather(results), error
    frames = gathered.frames
    if frames["results"].empty and frames["measures"].empty:
        raise ConfigError(f"{results} holds no results that can be trusted: {gathered.problems[0]}")
    found = find(results, gathered)
    if refused is not None:
        return found, refused
    try:
        return found, _write(found, figures=figures)
    except StoreError as error:
        return found, error


def _write(found: Report, *, figures: bool) -> Path:
    """Tables and pages first, which take little; then figures for papers."""
    folder = _inside(found.results)
    tables = folder / "tables"
    for section in found.sections:
        if section.table is not None:
            write_text(tables / f"{section.name}.md", markdown.written(section.table))
            write_text(tables / f"{section.name}.tex", latex.written(section.table, section.name))
            write_text(tables / f"{section.name}.csv", section.rows.to_csv(index=False))
    write_text(tables / "tables.csv", tidy.accuracies(found.summaries).to_csv(index=False))
    if found.claims:
        write_text(tables / "claims.md", f"{said.overview(found.claims)}\n")
        write_text(tables / "claims.csv", said.tidy(found.claims).to_csv(index=False))
    write_text(folder / "report.md", github.page(found, figures=figures))
    path = folder / "index.html"
    write_text(path, html.page(found))
    if figures:
        look = found.look
        for section in found.sections:
            for figure in section.figures:
                paper.save(figure, look, folder / "figures" / section.stem(figure))
    _sweep(folder, found.sections)
    return path


def _sweep(folder: Path, there: Sequence[Section]) -> None:
    """Take away the tables and figures of an earlier report that this one does not have."""
    names = {section.name for section in there}
    names |= {section.stem(figure) for section in there for figure in section.figures}
    for path in [*folder.glob("tables/*.*"), *folder.glob("figures/*.*")]:
        if NAMED.fullmatch(path.stem) and path.stem not in names:
            path.unlink()


def _inside(results: Path) -> Path:
    """The report's folder; an error where a link leads out of the results, which may be foreign."""
    folder = results / "report"
    for path in (folder, folder / "tables", folder / "figures"):
        if not path.resolve().is_relative_to(results.resolve()):
            raise StoreError(f"{path} leads out of {results}: nothing is written there")
    return folder
