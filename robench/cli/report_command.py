"""``robench report``: tables and figures."""

from pathlib import Path

import click

from robench.cli.echo import echo
from robench.cli.options import CONTEXT, RESULTS, folder


@click.command("report", context_settings=CONTEXT, short_help="Write tables and figures.")
@click.argument("results", nargs=-1, type=folder, envvar="ROBENCH_RESULTS")
def command(results: tuple[Path, ...]) -> int:
    """Write tables and figures of RESULTS folders (results/local) from what is on disk.

    Prints the tables. Trains nothing, attacks nothing, and needs no GPU.
    """
    from rich.console import Console

    from robench.errors import RobenchError
    from robench.reporting import claims, measures, unions
    from robench.reporting.report import report
    from robench.reporting.tables import least_width, terminal

    code = 0
    for place in results or (RESULTS,):
        try:
            found = report(place)
        except RobenchError as error:  # the other folders are still reported
            echo(f"error: {error}", err=True)
            code = error.exit_code
            continue
        console = Console(highlight=False)
        least = [*map(least_width, found.summaries), *map(unions.least_width, found.unions)]
        console.width = max([console.width, *least])
        with console.capture() as drawn:
            for summary in found.summaries:
                console.print(terminal(summary), "")
            for union in found.unions:
                console.print(unions.terminal(union), "")
            for table in found.measured:
                console.print(measures.terminal(table), "")
            if found.claims:
                console.print(claims.terminal(found.claims))
        click.echo(drawn.get(), nl=False)  # rich's own colours; its texts were escaped when read
        for problem in found.problems:
            echo(f"warning: {problem}", err=True)
        if isinstance(found.written, RobenchError):
            echo(f"error: {found.written}", err=True)
            code = found.written.exit_code
        else:
            echo(found.written)
    return code
