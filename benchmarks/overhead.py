"""What everything around the work costs: start-up, a cell's files, and that nothing is lost.

    python benchmarks/overhead.py

Each ratio is of two ways that take turns in one process, medians over rounds: training with states
saved after every epoch against without, attacks with a journal against without, and a grid of small
cells with a process for each against all in one. A report of 500 cells is benchmarks/report.py.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import click
import torch

from benchmarks.storm.harness import MAIN
from robench.adversary.suite import suite
from robench.check import tiny
from robench.data.load import Data, load
from robench.evaluation.evaluate import evaluate
from robench.keeping import Keeper
from robench.models.catalogue import build
from robench.plan import plan
from robench.run import run
from robench.saving import Saver
from robench.store.cell import PROTOCOL
from robench.store.files import digest
from robench.store.grid import Choice, Request
from robench.threat import Threat
from robench.training.course import Course
from robench.training.epochs import new_run
from robench.training.method import method
from robench.training.recipes import RECIPES
from robench.training.train import train
from robench.watch import Watch

CPU = torch.device("cpu")


@contextmanager
def saving(save_every: float = 600.0) -> Iterator[Saver]:
    """Saves as a run does, in a folder that goes afterwards."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        key = digest("a cell")
        record: dict[str, Any] = {"protocol": PROTOCOL, "key": key, "status": "running"}
        path = Path(folder) / f"cell-{key[:8]}" / "cell.json"
        yield Saver(path, record, Watch(lambda event: None, save_every), None)


def turns(rounds: int, *ways: Callable[[], object]) -> list[list[float]]:
    """Seconds of each way, round after round, after one that does not count."""
    spent: list[list[float]] = [[] for _ in ways]
    for number in range(rounds + 1):
        for way, times in zip(ways, spent, strict=True):
            began = time.perf_counter()
            way()
            if number:
                times.append(time.perf_counter() - began)
    return spent


def said(name: str, plain: list[float], kept: list[float]) -> None:
    """A line of the table: medians, and their ratio round by round."""
    ratios = [b / a for a, b in zip(plain, kept, strict=True)]
    without, with_it = statistics.median(plain), statistics.median(kept)
    spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
    click.echo(
        f"{name:<44} {without:7.2f} s {with_it:7.2f} s {statistics.median(ratios):5.2f}x ({spread})"
    )


def starts(rounds: int) -> None:
    """Commands that need no torch, from the first line of Python to the last."""
    folder = str(Path(__file__).parents[1] / "results" / "digits")
    commands: dict[str, tuple[str, ...]] = {
        "python -c pass": ("-c", "pass"),
        "robench --help": ("-c", MAIN, "--help"),
        "robench list": ("-c", MAIN, "list"),
        "robench status results/digits": ("-c", MAIN, "status", folder),
        "import torch": ("-c", "import torch"),
    }
    ways = [
        partial(subprocess.run, [sys.executable, *words], check=True, capture_output=True)
        for words in commands.values()
    ]
    for name, spent in zip(commands, turns(rounds, *ways), strict=True):
        span = f"({min(spent):.2f}-{max(spent):.2f})"
        click.echo(f"{name:<44} {statistics.median(spent):7.2f} s {span}")


def bookkeeping(rounds: int, number: int = 20) -> None:
    """What a cell takes whose training and attack are there already: keys, locks, logs, files."""
    data, recipe = load("digits", Path(), CPU, test_limit=200), RECIPES["digits"]
    maker = partial(build, "digitscnn", data.facts, normalise=False)
    short = replace(recipe, epochs=1, validation_images=50)
    trained = train(method("madry"), maker, data, short, _threat(data), 0, lambda event: None)
    found = evaluate(maker().eval(), suite("quick"), data.test, [_threat(data)], 0, lambda *_: None)
    request = Request(
        methods=(Choice("madry"),), datasets=("digits",), models=(), suites=("quick",),
        norm="Linf", eps=(), train_norm="Linf", train_eps=(), seeds=tuple(range(number)),
        changes={}, checkpoints=("best",), train_limit=None, test_limit=200, data_root=Path(),
        download=False,
    )  # fmt: skip
    planned = plan(request, CPU)

    def grid() -> None:
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
            run(planned, Path(folder), "missing", Watch(lambda event: None, 600.0))

    def untried() -> None:
        tables = mock.patch(
            "robench.analysis.table.write_tables", return_value=mock.Mock(problems=[])
        )
        with mock.patch("robench.networks.recognised", return_value={}), tables:
            grid()

    with (
        mock.patch("robench.work.train", return_value=trained),
        mock.patch("robench.work._attack", return_value=found),
    ):
        for name, spent in zip(
            ("a cell without its work", "the same, checkpoints not tried, no tables"),
            turns(rounds, grid, untried),
            strict=True,
        ):
            each = [1e3 * seconds / number for seconds in spent]
            span = f"({min(each):.0f}-{max(each):.0f})"
            click.echo(f"{name:<44} {statistics.median(each):7.0f} ms {span}")


def trainings(rounds: int) -> None:
    """Digits as they are trained by default."""
    data, recipe = load("digits", Path(), CPU), replace(RECIPES["digits"], epochs=8)
    for name in ("natural", "madry", "iaat"):
        work = partial(_train, name, data, recipe)
        said(f"train {name}, 8 epochs of digits", *turns(rounds, work, partial(_kept, work)))


def _train(name: str, data: Data, recipe: Any, keeper: Keeper | None = None) -> None:
    maker = partial(build, "digitscnn", data.facts, normalise=False)
    train(method(name, "digits"), maker, data, recipe, _threat(data), 0, lambda e: None, "", keeper)


def _kept(work: Callable[..., object]) -> None:
    with saving() as saver:
        work(keeper=saver)


def _threat(data: Data) -> Threat:
    return Threat("Linf", float(data.facts.eps["Linf"]))


def attacks(rounds: int) -> None:
    """The default suite on digits; random weights would fall at once, so it trains first."""
    data = load("digits", Path(), CPU, test_limit=120)
    recipe, ball = replace(RECIPES["digits"], epochs=8), _threat(data)
    maker = partial(build, "digitscnn", data.facts, normalise=False)
    trained = train(method("madry", "digits"), maker, data, recipe, ball, 0, lambda event: None)
    model, prefix = maker(), "model."
    weights = {n.removeprefix(prefix): t for n, t in trained.last.tensors.items() if prefix in n}
    model.load_state_dict(weights)
    attack = partial(
        evaluate, model.eval(), suite("standard"), data.test, [ball], 0, lambda *_: None
    )
    pair = turns(max(1, rounds // 2), attack, partial(_kept, attack))
    said("attack by standard, 120 images of digits", *pair)


def states(rounds: int) -> None:
    """One save: packed, written, synced, and pointed to by the record."""
    facts = replace(tiny.FACTS, shape=(3, 32, 32), num_classes=10)
    for name in ("resnet20", "resnet18", "wrn-28-10"):
        data, recipe = replace(tiny.data(), facts=facts), RECIPES["cifar10"]
        model = build(name, facts, normalise=False)
        course = Course(method("madry"), model, recipe, new_run(data, _threat(data), recipe), 0)
        for weight in model.parameters():
            weight.grad = torch.zeros_like(weight)
        course.begin_stage().step()
        with saving() as saver:
            times = turns(rounds, partial(saver._save, course.state))[0]
            (file,) = saver._path.parent.glob("*.pt")
            size = file.stat().st_size / 2**20
        click.echo(f"save {name:<39} {statistics.median(times):7.2f} s {size:7.1f} MB")


def cells(rounds: int, number: int = 8) -> None:
    """A grid of cells that take next to nothing, so that what is left is what a cell costs."""
    with tempfile.TemporaryDirectory() as folder:
        spent = {
            (jobs, count): turns(rounds, partial(_grid, Path(folder), jobs, count))[0]
            for jobs in (0, 1)
            for count in (1, number)
        }
    each = {
        jobs: [
            (many - one) / (number - 1)
            for one, many in zip(spent[jobs, 1], spent[jobs, number], strict=True)
        ]
        for jobs in (0, 1)
    }
    for jobs, name in ((0, "in one process"), (1, "in a process each")):
        first, more = statistics.median(spent[jobs, 1]), statistics.median(each[jobs])
        click.echo(f"a cell {name:<20} {first:7.2f} s for the first, {more:.2f} s for one more")


def _grid(folder: Path, jobs: int, count: int) -> None:
    grid = (
        "run", "-q", "-m", "natural", "--suite", "quick", "--train-limit", "64", "--test-limit",
        "20", "--set", "recipe.epochs=1", "--seeds", f"0-{count - 1}", "--rerun", "always",
        "--results", str(folder / "results"), "--jobs", str(jobs),
    )  # fmt: skip
    subprocess.run([sys.executable, "-c", MAIN, *grid], check=True, capture_output=True)


@click.command(help=__doc__)
@click.option("--rounds", default=5, help="Of each comparison.")
def main(rounds: int) -> None:
    """All of it."""
    torch.set_num_threads(1)
    starts(rounds)
    bookkeeping(rounds)
    click.echo(f"{'':<44} {'without':>9} {'with':>9} ratio")
    trainings(rounds)
    attacks(rounds)
    states(rounds)
    cells(max(3, rounds // 2))


if __name__ == "__main__":
    main()
