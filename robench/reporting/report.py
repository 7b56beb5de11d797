"""The report of a results folder: tables and figures, and one page that holds them together."""

import re
from dataclasses import dataclass
from pathlib import Path

from robench import __version__
from robench.analysis.summary import Summary, summaries
from robench.analysis.table import read, write_tables
from robench.errors import ConfigError, StoreError
from robench.reporting import figures, tables
from robench.store.files import digest, write
from robench.store.records import cell_folders

_NAMED = re.compile(r"(?:tradeoff-|curve-)?(.+-[0-9a-f]{8})")
"""Files that carry a table's name; others in the folder are not the report's."""


@dataclass(frozen=True)
class Report:
    """What a folder's results come to."""

    summaries: list[Summary]
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
    found = summaries(frames["results"])
    if refused is not None:
        return Report(found, problems, refused)
    try:
        return Report(found, problems, _write(found, problems, results))
    except StoreError as error:
        return Report(found, problems, error)


def _write(found: list[Summary], problems: list[str], results: Path) -> Path:
    """Every table and figure in a file of its own, and the page."""
    folder, look = results / "report", figures.looks(found)
    page = [f"# Report of {results.resolve().name}", f"Written by robench {__version__}."]
    names = [_name(summary) for summary in found]
    for summary, name in zip(found, names, strict=True):
        table = tables.markdown(summary)
        write(folder / "tables" / f"{name}.md", table.encode())
        page.append(table)
        if summary.lines:
            drawn = [
                figures.tradeoff(summary, look, folder / "figures", name),
                figures.curve(summary, look, folder / "figures", name),
            ]
            page.append("\n".join(f"![{p.stem}](figures/{p.name})" for p in drawn))
    if problems:
        page.append("### Not trusted\n\n" + "\n".join(f"- {problem}" for problem in problems))
    write(folder / "tables" / "tables.csv", tables.tidy(found).to_csv(index=False).encode())
    path = folder / "report.md"
    write(path, ("\n\n".join(page) + "\n").encode())
    _sweep(folder, names)
    return path


def _sweep(folder: Path, names: list[str]) -> None:
    """Take away what an earlier report wrote of tables that there are no more."""
    for path in [*folder.glob("tables/*.md"), *folder.glob("figures/*.*")]:
        own = _NAMED.fullmatch(path.stem)
        if own and own[1] not in names:
            path.unlink()


def _name(summary: Summary) -> str:
    """A table's file name, which stays as it is when others come to stand beside it."""
    shared = {name: str(value) for name, value in summary.shared.items()}
    said = "-".join(shared[name] for name in ("dataset", "model", "suite", "norm"))
    return f"{said.replace(' @', '-')}-{digest(shared)[:8]}"
