"""Break a run in every way there is, let it go on, and compare with an undisturbed one.

    python benchmarks/chaos.py --kills 60 --processes 2 --seed 1

A grid runs once in calm. Then the same grid runs in a folder that several processes share, while
something happens to it every few seconds: SIGKILL, SIGTERM or SIGINT of workers and parents,
SIGSTOP for longer than a lease lasts, flipped bits, cut files, a full disk. What has ended is begun
again with the same command and `--rerun failed`. When enough has happened it may end in peace, and
everything in the folder is compared with the calm one.

Prints what was done, and how many cells were lost, files torn, bits different and cells computed
twice; leaves with 1 unless all four are 0. Leases are cut to seconds, so that it takes minutes.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import click

from benchmarks.storm.compare import Verdict, compare
from benchmarks.storm.disturb import DISTURBANCES, Storm, small_disk
from benchmarks.storm.harness import Harness

GRID = (
    "run", "-m", "natural,madry[attack.steps=3],iaat[attack.steps=2],dale", "--suite", "quick",
    "--eps", "1/16,3/16", "--train-limit", "320", "--test-limit", "120", "--quiet",
    "--set", "recipe.epochs=24",
)  # fmt: skip
"""Methods that remember something and methods that do not, some seconds each."""

PATIENCE = 900
"""Seconds without an end after which a run in peace counts as hung."""


@click.command(help=__doc__)
@click.option("--kills", default=60, help="Disturbances in all.")
@click.option("--processes", default=1, help="That share the folder.")
@click.option("--jobs", default=1, help="Cells at once in each of them.")
@click.option("--seeds", default="0-1", help="Of the grid: four cells a seed.")
@click.option("--seed", default=0, help="Of the storm.")
@click.option("--every", default=2.0, help="Seconds between two disturbances, on average.")
@click.option("--without-flock", is_flag=True, help="As on a network file system that has none.")
@click.option("--megabytes", default=96, help="Of the small disk.")
@click.option("--only", multiple=True, help="Disturbances of these names only.")
@click.option("--keep", type=click.Path(path_type=Path), help="A folder to leave everything in.")
def main(
    kills: int, processes: int, jobs: int, seeds: str, seed: int, every: float,
    without_flock: bool, megabytes: int, only: tuple[str, ...], keep: Path | None,
) -> None:  # fmt: skip
    """Calm, storm, peace, and the difference."""
    grid = (*GRID, "--seeds", seeds)
    with ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        calm = folder / "calm" / "results"
        _in_calm(Harness(grid, calm), processes)
        disk = folder / "storm"
        small = stack.enter_context(small_disk(disk, megabytes))
        harness = Harness(grid, disk / "results", without_flock)
        storm = Storm(harness, random.Random(seed), disk if small else None)
        stack.callback(harness.end)
        command = ("--jobs", str(jobs), "--rerun", "failed", "--save-every", "0.01")
        done = _rage(storm, kills, processes, every, command, only)
        _in_peace(harness, processes, command)
        verdict = compare(calm, harness.results, storm.damaged | storm.overtaken)
        if keep and small:
            shutil.copytree(disk, folder / "after", dirs_exist_ok=True)
    sys.exit(_say(done, verdict, small=small))


def _in_calm(harness: Harness, processes: int) -> None:
    harness.begin("--jobs", str(processes))
    while harness.parents():
        time.sleep(0.5)
    if harness.left() != [0]:
        raise click.ClickException(f"the undisturbed run failed: see {harness.results.parent}")


def _rage(
    storm: Storm, kills: int, processes: int, every: float, command: Sequence[str],
    only: Sequence[str],
) -> Counter[str]:  # fmt: skip
    """Disturb until enough has happened; what ends is begun again."""
    done: Counter[str] = Counter()
    names = [name for name in DISTURBANCES if name in only or not only]
    weights = [DISTURBANCES[name][1] for name in names]
    codes: Counter[int] = Counter()
    while done.total() < kills:
        codes.update(storm.harness.left())
        while len(storm.harness.parents()) < processes:
            storm.harness.begin(*command)
        time.sleep(storm.chance.expovariate(1 / every))
        (name,) = storm.chance.choices(names, weights)
        if DISTURBANCES[name][0](storm):
            done[name] += 1
            click.echo(f"{done.total():4} {name}", err=True)
        if 0 in codes and not storm.harness.workers():
            _begin_anew(storm, codes)
    return done


def _begin_anew(storm: Storm, codes: Counter[int]) -> None:
    """A grid that was done before the storm was over loses some cells, so that there is work."""
    codes.clear()
    cells = sorted((storm.harness.results / "cells").iterdir())
    for cell in storm.chance.sample(cells, max(1, len(cells) // 2)):
        shutil.rmtree(cell, ignore_errors=True)


def _in_peace(harness: Harness, processes: int, command: Sequence[str]) -> None:
    """Until some run says that all is there and fine, and nobody is at work any more."""
    until, codes = time.monotonic() + PATIENCE, [1]
    while 0 not in codes and time.monotonic() < until:
        while len(harness.parents()) < processes:
            harness.begin(*command)
        time.sleep(0.5)
        codes = harness.left()
    while harness.parents() and time.monotonic() < until:
        time.sleep(0.5)


def _say(done: Counter[str], verdict: Verdict, *, small: bool) -> int:
    for name, count in done.most_common():
        click.echo(f"{count:5} {name}")
    if not small:
        click.echo("      (no small disk could be mounted: disk full was left out)")
    for name, count in verdict.counts().items():
        click.echo(f"{name:<15} {count}")
    for problem in (*verdict.lost, *verdict.torn, *verdict.different, *verdict.twice):
        click.echo(f"  {problem}")
    click.echo(f"disturbances    {done.total()}")
    return int(any(verdict.counts().values()))


if __name__ == "__main__":
    main()
