"""Training steps: robench's against loops that people copy and packages that they install.

    python benchmarks/train.py --quick --data-root data

All sides train the same network from the same weights on the same batches, with ten inner steps and
one thread, and take turns in one process; a turn is some updates. Each turn of another side stands
next to one of robench, since machines change their speed by the minute. The public loop reads PIL
images and calls ``loss.backward()`` in the inner steps, the careful loop asks for the gradients of
images alone (benchmarks/loops/reference.py). Packages run as their documentation shows. Seconds are
those of the process on a core; a ratio is the median over rounds, with the smallest and largest.

Exit code 1: robench passes an image more often than its method declares. Speed changes none.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import csv
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import click
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.loops.ours import CHANGES, Ours, passes
from benchmarks.loops.packages import PACKAGES
from benchmarks.loops.profile import PARTS, shares
from benchmarks.loops.reference import CAREFUL, PUBLIC, reference
from benchmarks.loops.task import NETWORKS, QUICK, Extent, Task, Turn, task
from benchmarks.storm.harness import MAIN
from robench.errors import DataError

OURS = "robench"

Make = Callable[[str, Task], Turn | None]

SIDES: Mapping[str, Make] = {
    OURS: Ours,
    "public loop": partial(reference, PUBLIC),
    "careful loop": partial(reference, CAREFUL),
    **PACKAGES,
}


@dataclass(frozen=True)
class Row:
    """A side against robench, turn and turn about."""

    network: str
    method: str
    side: str
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)
    """Seconds an update, round by round."""

    @property
    def ratios(self) -> list[float]:
        """How many times as long the other one takes, round by round."""
        return [b / a for a, b in zip(self.ours, self.theirs, strict=True)]


def compared(on: Task, name: str, rounds: int) -> list[Row]:
    """All sides of a method, each next to a turn of robench, after a first turn that warms up.

    Rounds begin with another side, and robench goes first in every other one.
    """
    first = {side: _seconds(side, name, on) for side in SIDES}
    rows = [
        Row(on.name, name, side)
        for side, took in first.items()
        if side != OURS and took is not None
    ]
    order = deque(rows)
    for number in range(rounds):
        order.rotate(1)
        for row in order:
            turns = [(row.ours, OURS), (row.theirs, row.side)]
            for spent, side in turns if number % 2 else reversed(turns):
                took = _seconds(side, name, on)
                assert took is not None
                spent.append(took)
    return rows


def _seconds(side: str, name: str, on: Task) -> float | None:
    """Of an update of a turn; none: it has no such method."""
    turn = SIDES[side](name, on)
    if turn is None:
        return None
    began = time.process_time()
    turn()
    return (time.process_time() - began) / on.updates


def counts(on: Task, name: str) -> tuple[str, bool]:
    """Passes of an image in a step, in words, and whether they are no more than declared."""
    counted, declared = passes(name, on)
    text = f"{counted.forwards} F + {counted.backwards} B"
    more = counted.forwards > declared.forwards or counted.backwards > declared.backwards
    return text + (f", declared {declared.forwards} F + {declared.backwards} B" * more), not more


def compare(extent: Extent, root: Path, rounds: int, rows: list[Row]) -> bool:
    """A table of a network; whether all passes are as declared."""
    tasks = {name: task(extent.of(name), root) for name in CHANGES}
    title = next(iter(tasks.values())).name
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in ("method", "passes", "against", "theirs", "robench", "ratio", "rounds"):
        table.add_column(column, justify="left" if column in ("method", "against") else "right")
    fine = True
    for name, on in tasks.items():
        said, as_declared = counts(on, name)
        fine &= as_declared
        for number, row in enumerate(compared(on, name, rounds)):
            rows.append(row)
            ratios, first = row.ratios, number == 0
            table.add_row(
                name if first else "", said if first else "", row.side,
                f"{1e3 * statistics.median(row.theirs):.1f} ms",
                f"{1e3 * statistics.median(row.ours):.1f} ms",
                f"{statistics.median(ratios):.2f}x", f"{min(ratios):.2f}-{max(ratios):.2f}",
            )  # fmt: skip
    Console(width=100).print(table)
    return fine


def profiled(on: Task) -> None:
    """Shares of the time of a turn, in per cent."""
    table = Table(title=f"{on.name}: per cent of the time", title_justify="left")
    for column in ("", *PARTS):
        table.add_column(column, justify="left" if not column else "right")
    for name in ("natural", "madry"):
        for side in ("public loop", OURS):
            turn = SIDES[side](name, on)
            assert turn is not None
            found = shares(turn)
            table.add_row(f"{name}, {side}", *(f"{100 * found[part]:.1f}" for part in PARTS))
    Console(width=110).print(table)


def throughput(rounds: int) -> None:
    """A grid of digits: two jobs of one thread each against one job of two threads."""
    ways = {"--jobs 1 --threads 2": ("1", "2"), "--jobs 2 --threads 1": ("2", "1")}
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (jobs, threads) in ways.items():
            with tempfile.TemporaryDirectory() as folder:
                grid = (
                    "run", "-q", "-m", "madry", "--seeds", "0-3", "--suite", "quick",
                    "--set", "recipe.epochs=8", "--test-limit", "20", "--checkpoints", "best",
                    "--results", folder, "--jobs", jobs, "--threads", threads,
                )  # fmt: skip
                began = time.perf_counter()
                subprocess.run([sys.executable, "-c", MAIN, *grid], check=True, capture_output=True)
                spent[name].append(time.perf_counter() - began)
    one, two = spent.values()
    each = [a / b for a, b in zip(one, two, strict=True)]
    for name, seconds in spent.items():
        click.echo(f"four cells of digits, {name}: {statistics.median(seconds):.1f} s")
    click.echo(
        f"two jobs do {statistics.median(each):.2f} times as much ({min(each):.2f}-{max(each):.2f})"
    )


def save(rows: list[Row], path: Path) -> None:
    """Every round as a line of a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["network", "method", "against", "round", "robench_s", "against_s"])
        for row in rows:
            for number, (ours, theirs) in enumerate(zip(row.ours, row.theirs, strict=True)):
                writer.writerow([row.network, row.method, row.side, number, ours, theirs])


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="Smaller turns and three rounds: under ten minutes.")
@click.option("--rounds", type=click.IntRange(min=1), help="Of each comparison; 5 unless said.")
@click.option("--networks", default=",".join(NETWORKS), help="Which of them.")
@click.option("--data-root", type=click.Path(path_type=Path), default=Path("data"))
@click.option("--profile", is_flag=True, help="Where the time goes, and no comparison.")
@click.option("--jobs", is_flag=True, help="Two jobs against two threads, and no comparison.")
@click.option("--csv", "file", type=click.Path(path_type=Path), help="Keep every round there.")
def main(
    quick: bool, rounds: int | None, networks: str, data_root: Path, profile: bool, jobs: bool,
    file: Path | None,
) -> None:  # fmt: skip
    """All that was asked for."""
    torch.set_num_threads(1)
    rounds = rounds or (3 if quick else 5)
    if jobs:
        throughput(rounds)
        return
    rows: list[Row] = []
    fine = True
    for name in networks.split(","):
        try:
            extent = (QUICK if quick else NETWORKS)[name]
            if profile:
                profiled(task(extent, data_root))
            else:
                fine &= compare(extent, data_root, rounds, rows)
        except DataError as error:
            click.echo(f"{name} is left out: {error}", err=True)
    if file is not None:
        save(rows, file)
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
