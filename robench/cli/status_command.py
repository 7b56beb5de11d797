"""``robench status``: how far a grid is, from its files alone."""

from collections import Counter
from pathlib import Path

import click

from robench.cli.options import CONTEXT, RESULTS, folder


@click.command("status", context_settings=CONTEXT, short_help="How far a grid is.")
@click.argument("results", default=RESULTS, type=folder, envvar="ROBENCH_RESULTS")
def command(results: Path) -> int:
    """Count what is done, running and failed in a RESULTS folder (results/local).

    Leaves with 1 when something failed.
    """
    from robench.errors import ConfigError, StoreError
    from robench.store.records import cell_folders, read_evaluation, read_record

    folders = cell_folders(results)
    if not folders:
        raise ConfigError(f"{results} holds no cells; robench run --results fills a folder")
    trainings: Counter[str] = Counter()
    evaluations: Counter[str] = Counter()
    troubles: list[str] = []
    for cell in folders:
        for path, counter in [
            (cell.record, trainings),
            *((path, evaluations) for path in cell.evaluations()),
        ]:
            try:
                record = read_record(path) if path == cell.record else read_evaluation(path)
            except StoreError as error:
                counter["damaged"] += 1
                troubles.append(str(error))
                continue
            counter[record["status"]] += 1
            if record["status"] in ("failed", "diverged"):
                troubles.append(f"{record['status']}: {path}: {record['reason']}")
            elif record["status"] == "running":
                troubles.append(f"running or interrupted: {_progress(cell.curve)} {cell.path}")
    click.echo(f"trainings    {_counts(trainings)}")
    click.echo(f"evaluations  {_counts(evaluations)}")
    for trouble in troubles:
        click.echo(trouble)
    click.echo(results)
    bad = ("failed", "diverged", "damaged")
    return int(any(counter[name] for counter in (trainings, evaluations) for name in bad))


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counter.items())) or "none"


def _progress(curve: Path) -> str:
    """Epochs written so far."""
    if not curve.is_file():
        return "epoch 0,"
    return f"epoch {len(curve.read_text(encoding='utf-8').splitlines()) - 1},"
