"""``robench status``: how far a grid is, from its files alone."""

from collections import Counter
from pathlib import Path

import click

from robench.cli.echo import echo
from robench.cli.options import CONTEXT, RESULTS, folder

_BAD = ("failed", "diverged", "damaged")


@click.command("status", context_settings=CONTEXT, short_help="How far a grid is.")
@click.argument("results", default=RESULTS, type=folder, envvar="ROBENCH_RESULTS")
def command(results: Path) -> int:
    """Count what is done, running, failed and waiting in a RESULTS folder (results/local).

    Leaves with 1 when something failed.
    """
    from robench.errors import ConfigError
    from robench.store.asked import asked
    from robench.store.records import CellFolder, cell_folders

    wanted, troubles = asked(results)
    begun = {cell.path.name for cell in cell_folders(results)}
    if not begun and not wanted:
        raise ConfigError(f"{results} holds no cells; robench run --results fills a folder")
    trainings: Counter[str] = Counter()
    evaluations: Counter[str] = Counter()
    for name in sorted(wanted.keys() | begun):
        cell = CellFolder(results / "cells" / name)
        status = _record(cell.record, troubles) if name in begun else "waiting"
        trainings[status] += 1
        if status == "running":
            troubles.append(f"running or interrupted: {_progress(cell.curve)} {cell.path}")
        there = {path.stem: path for path in cell.evaluations()}
        evaluations.update(_record(path, troubles) for path in there.values())
        if status not in _BAD:
            evaluations["waiting"] += len(wanted.get(name, set()) - there.keys())
    echo(f"trainings    {_counts(trainings)}")
    echo(f"evaluations  {_counts(evaluations)}")
    for trouble in troubles:
        echo(trouble)
    echo(results)
    return int(any((trainings + evaluations)[name] for name in _BAD))


def _record(path: Path, troubles: list[str]) -> str:
    """A record's status; what is wrong with it is added to the troubles."""
    from robench.errors import StoreError
    from robench.evaluation.stored import read_any

    try:
        record = read_any(path)
    except StoreError as error:
        troubles.append(str(error))
        return "damaged"
    if record["status"] in _BAD:
        troubles.append(f"{record['status']}: {path}: {record['reason']}")
    return str(record["status"])


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{n} {name}" for name, n in sorted(counter.items()) if n) or "none"


def _progress(curve: Path) -> str:
    """Epochs written so far."""
    if not curve.is_file():
        return "epoch 0,"
    rows = curve.read_bytes().count(b"\n") - 1  # its header
    return f"epoch {rows},"
