"""``robench export``: results in the form of others."""

from pathlib import Path

import click

from robench.cli.echo import echo
from robench.cli.options import CONTEXT, RESULTS, folder


@click.command("export", context_settings=CONTEXT, short_help="Results in RobustBench's form.")
@click.argument("results", default=RESULTS, type=folder, envvar="ROBENCH_RESULTS")
@click.option("--format", expose_value=False, type=click.Choice(["robustbench"]), required=True,
              help="RobustBench's model_info: a JSON file for a model and a threat.")  # fmt: skip
@click.option("-o", "--output", "into", type=folder, metavar="FOLDER",
              help="Unsaid: RESULTS/robustbench.")  # fmt: skip
def command(results: Path, into: Path | None) -> int:
    """Write every evaluation with a full verdict of a RESULTS folder (results/local) for others.

    Files are FOLDER/DATASET/NORM/NAME.json. Limits, adaptive attacks and flags stand in the
    footnote of an entry. What robench cannot know stays empty.
    """
    from robench.analysis.robustbench import UNKNOWN, export

    place, found = export(results, into)
    for problem in found.problems:
        echo(f"warning: {problem}", err=True)
    echo(place)
    echo(f"{len(found.files)} entries; left empty: {', '.join(UNKNOWN)}")
    return 0
