"""``robench status``: how far a grid is, from its files alone."""

from collections import Counter
from pathlib import Path

import click

from robench.cli.echo import echo
from robench.cli.options import CONTEXT, RESULTS, folder


@click.command("status", context_settings=CONTEXT, short_help="How far a grid is.")
@click.argument("results", default=RESULTS, type=folder, envvar="ROBENCH_RESULTS")
def command(results: Path) -> int:
    """Count what is done, running, failed and waiting in a RESULTS folder (results/local).

    What is begun and not done is running, stalled (whoever was at it gives no sign of life: killed,
    or on a machine that is away) or interrupted; the command that began it goes on with it.
    Leaves with 1 when something failed.
    """
    from robench.analysis.standing import duration, standing
    from robench.errors import ConfigError

    found = standing(results)
    if not found.trainings:
        raise ConfigError(f"{results} holds no cells; robench run --results fills a folder")
    echo(f"trainings    {_counts(found.trainings)}")
    echo(f"evaluations  {_counts(found.evaluations)}")
    if (left := found.seconds_left) is not None:
        at_once = f", {duration(left / found.working)} as it goes" if found.working > 1 else ""
        echo(f"left         about {duration(left)} of work{at_once}")
    for line in found.lines:
        echo(line)
    echo(results)
    return int(found.is_bad)


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{n} {name}" for name, n in sorted(counter.items()) if n) or "none"
