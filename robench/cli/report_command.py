"""``robench report``: tables and figures."""

from pathlib import Path

import click

from robench.cli.options import CONTEXT, RESULTS, folder


@click.command("report", context_settings=CONTEXT, short_help="Write tables and figures.")
@click.argument("results", nargs=-1, type=folder, envvar="ROBENCH_RESULTS")
def command(results: tuple[Path, ...]) -> int:
    """Write tables and figures of RESULTS folders (results/local) from what is on disk.

    Prints the tables. Trains nothing, attacks nothing, and needs no GPU.
    """
    from rich.console import Console

    from robench.reporting.report import report
    from robench.reporting.tables import least_width, terminal

    for place in results or (RESULTS,):
        found = report(place)
        console = Console(highlight=False)
        console.width = max([console.width, *map(least_width, found.summaries)])
        for summary in found.summaries:
            console.print(terminal(summary), "")
        for problem in found.problems:
            click.echo(f"warning: {problem}", err=True)
        if isinstance(found.written, Exception):
            raise found.written
        click.echo(found.written)
    return 0
