"""What a plan says of its cost against what the grid then takes, part by part.

    python benchmarks/forecast.py --data-root data

Of each grid: the estimate of ``robench run --plan``, then the run itself in a process of its own,
one job of one thread. Seconds of training and of attacks are those that the cells' events tell, the
whole is by the clock, with start-up and tables. How many images stand is no part of a probe, so
attacks are compared twice: as the plan says it, and at the share that stood in the end.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click
import pandas as pd
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.storm.harness import MAIN
from robench.cli import run_command
from robench.device import peak_mb
from robench.forecast.grid import Cost, costs
from robench.plan import plan

_SHORT = ("--set", "recipe.validation_images=100")

GRIDS: Mapping[str, tuple[str, ...]] = {
    "digits, the README's grid": ("-m", "sensible,trades,madry"),
    "digits, --suite quick": ("-m", "natural,madry,dale,iaat", "--suite", "quick"),
    "MNIST, SmallCNN": (
        "-m", "natural,madry[attack.steps=7,attack.step_size=0.1]", "--dataset", "mnist",
        "--train-limit", "4000", "--test-limit", "60", "--checkpoints", "best",
        "--set", "recipe.epochs=3", "--set", "recipe.optimizer=adam", "--set", "recipe.lr=1e-3",
        *_SHORT,
    ),
    "CIFAR-10, ResNet-18": (
        "-m", "natural,madry", "--dataset", "cifar10", "--model", "resnet18", "--suite", "quick",
        "--train-limit", "160", "--test-limit", "20", "--checkpoints", "best",
        "--set", "recipe.epochs=2", "--set", "recipe.batch_size=32", *_SHORT,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Truth:
    """What a grid took, in seconds."""

    training: float
    attacks: float
    whole: float
    standing: float
    """The share of images that stood, over all checkpoints."""
    attacked: float
    """The share of evaluations that were not of the same weights as another one."""
    memory: float
    """MB at most in a cell."""


def forecast(options: tuple[str, ...], root: Path, results: Path) -> tuple[list[Cost], float]:
    """The estimate, and the seconds that the probe took."""
    typed = [*options, "--data-root", str(root), "--results", str(results)]
    context = run_command.command.make_context("run", typed)
    request = run_command._request(context.params)
    began = time.perf_counter()
    return list(costs(plan(request, torch.device("cpu")), results, "missing")), (
        time.perf_counter() - began
    )


def truth(options: tuple[str, ...], root: Path, results: Path) -> Truth:
    """The run."""
    began = time.perf_counter()
    given = ("-c", MAIN, "run", "-q", *options, "--data-root", str(root), "--results", str(results))
    subprocess.run([sys.executable, *given], check=True, capture_output=True)
    whole = time.perf_counter() - began
    rows = pd.read_csv(results / "results.csv")
    worst = rows[rows["attack"] == "worst"]
    logs = [log.read_text().splitlines() for log in results.glob("cells/*/events.jsonl")]
    ended = [e for log in logs for e in map(json.loads, log) if e["event"] == "finished"]
    attacks = sum(e["seconds"] for e in ended if " best " in e["label"] or " last " in e["label"])
    return Truth(
        sum(e["seconds"] for e in ended) - attacks,
        attacks,
        whole,
        (worst["n_stands"] / worst["n"]).mean(),
        len(worst.drop_duplicates(["cell", "suite", "eps", "epoch"])) / len(worst),
        max(worst["peak_mb"].max(), worst["train_peak_mb"].max()),
    )


@click.command(help=__doc__)
@click.option("--grids", help="Some of the grids, by the beginning of their names.")
@click.option("--data-root", type=click.Path(path_type=Path), default=Path("data"))
def main(grids: str | None, data_root: Path) -> None:
    """A line a grid and part."""
    torch.set_num_threads(1)
    table = Table(title="the plan's estimate over the truth", title_justify="left")
    for column in ("grid", "part", "estimate", "truth", "ratio"):
        table.add_column(column, justify="left" if column in ("grid", "part") else "right")
    base = peak_mb(torch.device("cpu"))  # of a process that has done nothing yet
    for name, options in GRIDS.items():
        if grids and not any(name.startswith(wanted) for wanted in grids.split(",")):
            continue
        with tempfile.TemporaryDirectory() as folder:
            found, probe = forecast(options, data_root.absolute(), Path(folder))
            true = truth(options, data_root.absolute(), Path(folder))
        training = sum(cost.training for cost in found)
        attacks = sum(cost.attacks for cost in found)
        known = sum(cost.least + true.standing * (cost.most - cost.least) for cost in found)
        said = f"{true.standing:.0%} stand, {true.attacked:.0%} differ"
        for number, (part, estimate, took) in enumerate(
            (
                ("training", training, true.training),
                ("attacks, as planned", attacks, true.attacks),
                (said, true.attacked * known, true.attacks),
                ("all", training + attacks, true.whole),
            )
        ):
            table.add_row(
                name if not number else f"  probed in {probe:.0f} s" if number == 1 else "",
                part, f"{estimate:.0f} s", f"{took:.0f} s", f"{estimate / took:.2f}",
            )  # fmt: skip
        memory = base + max(cost.memory for cost in found) / 2**20
        table.add_row(
            "", "memory", f"{memory:.0f} MB", f"{true.memory:.0f} MB", f"{memory / true.memory:.2f}"
        )
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
