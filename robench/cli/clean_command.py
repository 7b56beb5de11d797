"""``robench clean``: what can go from a results folder."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from robench.cli.echo import echo
from robench.cli.options import CONTEXT, RESULTS, folder

if TYPE_CHECKING:
    from robench.upkeep.leftovers import Kind


@click.command("clean", context_settings=CONTEXT, short_help="Remove failures, or orphans.")
@click.argument("results", default=RESULTS, type=folder, envvar="ROBENCH_RESULTS")
@click.option("--failed", is_flag=True, help="Trainings and evaluations that failed or diverged.")
@click.option("--orphans", is_flag=True, help="Files that nothing points to.")
@click.option("--yes", is_flag=True, help="Remove it.")
def command(results: Path, failed: bool, orphans: bool, yes: bool) -> int:
    """List what can go from a RESULTS folder (results/local), and remove it if told to.

    With --failed a later run does those again from the beginning (robench run --rerun failed goes
    on from what they saved). With --orphans: damaged and unfinished files, outcomes without a
    record and records without outcomes, evaluations of weights that a cell no longer has, states
    that nothing goes on from, folders with only a lock or a log.
    """
    from rich.filesize import decimal

    from robench.upkeep.cleaning import clean, look

    if failed == orphans:
        raise click.UsageError("say what: either --failed or --orphans")
    kind: Kind = "failed" if failed else "orphans"
    found = clean(results, kind) if yes else look(results, kind)
    for one in found.found:
        echo(f"{decimal(one.bytes)}  {one.path}: {one.why}")
    for path in found.busy:
        echo(f"somebody works on {path}; left as it is")
    for problem in found.problems:
        echo(f"warning: {problem}", err=True)
    if not found.found:
        echo(f"nothing to remove from {results}")
    elif yes:
        echo(f"removed {len(found.found)}, freed {decimal(found.bytes)}")
    else:
        again = f"robench clean {shlex.quote(str(results))} --{kind} --yes"
        echo(f"{len(found.found)} could go, {decimal(found.bytes)}; to remove them: {again}")
    return int(bool(found.problems))
