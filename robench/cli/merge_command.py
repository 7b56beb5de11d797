"""``robench merge``: one results folder of several."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from robench.cli.echo import echo
from robench.cli.options import CONTEXT, folder

if TYPE_CHECKING:
    from robench.upkeep.merging import Duplicates


@click.command("merge", context_settings=CONTEXT, short_help="One results folder of several.")
@click.argument("sources", nargs=-1, required=True, type=folder)
@click.option("-o", "--output", "into", required=True, type=folder, metavar="FOLDER",
              help="The merged one; if it is there, it comes first.")  # fmt: skip
@click.option("--duplicates", type=click.Choice(["error", "last", "all"]), default="error",
              help="Of several forms: none, the last one's, or the later ones apart.")  # fmt: skip
def command(sources: tuple[Path, ...], into: Path, duplicates: "Duplicates") -> int:
    """Unite the cells of results folders SOURCES in one, with their grids, and write its tables.

    A cell with other weights, or an evaluation with other outcomes, is a duplicate: with "all" the
    later ones go to FOLDER/duplicates, which robench report reads. Nothing is averaged. Leaves
    with 1 when a file cannot be trusted, and is left out.
    """
    from robench.upkeep.merging import merge

    found = merge(sources, into, duplicates)
    for line in found.duplicates:
        echo(f"duplicate: {line}")
    for note in found.notes:
        echo(note)
    for problem in found.problems:
        echo(f"warning: {problem}", err=True)
    if found.duplicates:
        aside = ", ".join(map(str, found.aside))
        what = f"the later ones are in {aside}" if aside else "that of the folder named last counts"
        echo(f"{len(found.duplicates)} duplicates: {what}")
    echo(f"{found.cells} cells, {found.evaluations} evaluations")
    echo(into)
    return int(bool(found.problems))
