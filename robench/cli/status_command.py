"""``robench status``: how far a grid is, from its files alone."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from robench.cli.options import CONTEXT, RESULTS, folder

if TYPE_CHECKING:
    pass

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

    wanted = asked(results)
    folders = {cell.path.name: cell for cell in cell_folders(results)}
    if not folders and not wanted:
        raise ConfigError(f"{results} holds no cells; robench run --results fills a folder")
    trainings: Counter[str] = Counter()
    evaluations: Counter[str] = Counter()
    troubles: list[str] = []
    for name in sorted(wanted | folders):
        cell = folders.get(name) or CellFolder(results / "cells" / name)
        status = _count(cell.record, trainings, troubles) if name in folders else "waiting"
        if status == "waiting":
            trainings[status] += 1
        if status == "running":
            troubles.append(f"running or interrupted: {_progress(cell.curve)} {cell.path}")
        there = {path.stem: path for path in cell.evaluations()}
        for path in there.values():
            _count(path, evaluations, troubles)
        if status not in _BAD:
            evaluations["waiting"] += len(wanted.get(name, set()) - there.keys())
    click.echo(f"trainings    {_counts(trainings)}")
    click.echo(f"evaluations  {_counts(evaluations)}")
    for trouble in troubles:
        click.echo(trouble)
    click.echo(results)
    return int(any(counter[name] for counter in (trainings, evaluations) for name in _BAD))


def _count(path: Path, counter: Counter[str], troubles: list[str]) -> str:
    """Count a record under its status, which is returned, and say what is wrong with it."""
    from robench.errors import StoreError
    from robench.evaluation.stored import read_evaluation
    from robench.store.records import read_record

    try:
        record = read_record(path) if path.name == "cell.json" else read_evaluation(path)
    except StoreError as error:
        counter["damaged"] += 1
        troubles.append(str(error))
        return "damaged"
    status = str(record["status"])
    counter[status] += 1
    if status in _BAD:
        troubles.append(f"{status}: {path}: {record['reason']}")
    return status


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{n} {name}" for name, n in sorted(counter.items()) if n) or "none"


def _progress(curve: Path) -> str:
    """Epochs written so far."""
    if not curve.is_file():
        return "epoch 0,"
    return f"epoch {len(curve.read_text(encoding='utf-8').splitlines()) - 1},"
