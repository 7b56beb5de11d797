"""``robench report``: tables and figures."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from robench.cli.echo import echo
from robench.cli.options import CONTEXT, RESULTS, folder

if TYPE_CHECKING:
    from robench.reporting.found import Report


@click.command("report", context_settings=CONTEXT, short_help="Write tables and figures.")
@click.argument("results", nargs=-1, type=folder, envvar="ROBENCH_RESULTS")
@click.option(
    "--figures/--no-figures", default=True, help="Draw PDF and PNG too, the slowest part."
)
def command(results: tuple[Path, ...], figures: bool) -> int:
    """Write tables, figures and a page of RESULTS folders (results/local) from what is on disk.

    Prints the tables. Trains nothing, attacks nothing, and needs no GPU. The page, index.html, is
    one file with figures of its own; PDF and PNG are for papers, and drawn anew only when what they
    show has changed.
    """
    from robench.errors import RobenchError
    from robench.reporting.report import report

    code = 0
    for place in results or (RESULTS,):
        try:
            found, written = report(place, figures=figures)
        except RobenchError as error:  # the other folders are still reported
            echo(f"error: {error}", err=True)
            code = error.exit_code
            continue
        _print(found)
        for problem in found.problems:
            echo(f"warning: {problem}", err=True)
        if isinstance(written, RobenchError):
            echo(f"error: {written}", err=True)
            code = written.exit_code
        else:
            echo(written)
    return code


def _print(found: "Report") -> None:
    """All tables, as wide as their numbers need."""
    from rich.console import Console
    from rich.text import Text

    from robench.reporting import claims, measures, terminal

    tables = [(s.table, s.said) for s in found.sections if s.printed and s.table is not None]
    console = Console(highlight=False)
    console.width = max([console.width, *(terminal.least_width(table) for table, _ in tables)])
    with console.capture() as drawn:
        for table, said in tables:
            console.print(terminal.shown(table), *map(Text, said), "", sep="\n")
        for measured in found.measured:
            console.print(measures.terminal(measured), "")
        if found.claims:
            console.print(claims.terminal(found.claims))
    click.echo(drawn.get(), nl=False)  # rich's own colours; its texts were escaped when read
