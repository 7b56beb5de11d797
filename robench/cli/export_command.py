"""``robench export``: results in the form of others."""

from pathlib import Path

import click

from robench.cli.echo import echo
from robench.cli.options import CONTEXT, RESULTS, folder


@click.command("export", context_settings=CONTEXT, short_help="Results in RobustBench's form.")
@click.argument("results", default=RESULTS, type=folder, envvar="ROBENCH_RESULTS")
@click.option("--format", "form", type=click.Choice(["robustbench"]), required=True,
              help="RobustBench's model_info: a JSON file for a model and a threat.")  # fmt: skip
@click.option("-o", "--output", "into", type=folder, metavar="FOLDER",
              help="Unsaid: RESULTS/robustbench.")  # fmt: skip
def command(results: Path, form: str, into: Path | None) -> int:
    """Write every evaluation with a full verdict of a RESULTS folder (results/local) for others.

    Files are FOLDER/DATASET/NORM/NAME.json. Limits, adaptive attacks and flags stand in the
    footnote of an entry. What robench cannot know stays empty.
    """
    from robench.analysis.robustbench import UNKNOWN, entries
    from robench.store.files import write

    found, into = entries(results), into or results / form
    for path, entry in found.files.items():
        write(into / path, _written(entry))
    for problem in found.problems:
        echo(f"warning: {problem}", err=True)
    echo(into)
    echo(f"{len(found.files)} entries; left empty: {', '.join(UNKNOWN)}")
    return 0


def _written(entry: object) -> bytes:
    """In the order of the fields that RobustBench's own files have."""
    import json

    return (json.dumps(entry, indent=2, ensure_ascii=False) + "\n").encode()
