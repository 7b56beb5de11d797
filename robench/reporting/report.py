"""The report of a results folder: tables and figures, and one page that holds them together."""

from pathlib import Path

from robench import __version__
from robench.analysis.summary import Summary, summaries
from robench.analysis.table import write_tables
from robench.errors import ConfigError
from robench.reporting import figures, tables
from robench.store.files import write
from robench.store.records import cell_folders


def report(results: Path) -> tuple[Path, list[Summary], list[str]]:
    """Write the tidy tables and ``report/`` of a results folder from its cells.

    Returns the page, what it shows, and which files could not be trusted.

    Raises:
        ConfigError: the folder has no cells, or none that can be trusted.
    """
    if not cell_folders(results):
        raise ConfigError(f"{results} holds no results; robench run --results fills a folder")
    frames, problems = write_tables(results)
    if frames["results"].empty:
        raise ConfigError(f"{results} holds no results that can be trusted: {problems[0]}")
    found, folder = summaries(frames["results"]), results / "report"
    look = figures.looks(found)
    page = [f"# Report of {results.resolve().name}", f"Written by robench {__version__}."]
    for number, summary in enumerate(found, 1):
        table = tables.markdown(summary)
        name = f"{number}-{_slug(summary)}"
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
    return path, found, problems


def _slug(summary: Summary) -> str:
    shared = summary.shared
    return "-".join(
        str(shared[name]).replace("/", "_") for name in ("dataset", "model", "suite", "norm")
    )
