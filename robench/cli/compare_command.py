"""``robench compare``: past results as regression tests."""

from pathlib import Path

import click

from robench.cli.echo import echo
from robench.cli.options import CONTEXT, RESULTS, FileName, folder


@click.command("compare", context_settings=CONTEXT, short_help="Past results as regression tests.")
@click.argument("results", default=RESULTS, type=folder, envvar="ROBENCH_RESULTS")
@click.option("--baseline", type=FileName(path_type=Path), required=True, metavar="FILE",
              help="A results.csv of before.")  # fmt: skip
def command(results: Path, baseline: Path) -> int:
    """Look every worst case of a past results.csv up in a RESULTS folder (results/local).

    Rows belong together by method, settings, recipe, data, network, seed, training, suite, radius
    and limits; versions of plugins, torch and machine may be others. One has moved when its natural
    or robust accuracy lies outside the past one's 95 % Wilson interval. Leaves with 1 when any has
    moved, failed, is missing or cannot be compared. Changes nothing.
    """
    from robench.analysis.regression import compare

    found = compare(results, baseline)
    for problem in found.problems:
        echo(f"warning: {problem}", err=True)
    for row in found.bad:
        echo(": ".join(filter(None, (row.change, row.label, row.said))))
    same = len(found.rows) - len(found.bad)
    said = f"{same} of {len(found.rows)} worst cases are within the intervals of {baseline}"
    if found.new:
        said += f"; {found.new} are new"
    if found.failed_before:
        said += f"; {found.failed_before} of its rows have no number"
    echo(said)
    return int(bool(found.bad))
