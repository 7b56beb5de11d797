"""AutoAttack: robench's four attacks against pyautoattack's, verdict by verdict, and their time.

    python benchmarks/attacks.py --quick --weights results/digits --weights results/mnist-10k

Both get the same weights, images, seeds and threads, in one process, and take turns: a round is one
run of each. The package runs as its README runs it, on the model as users have it. Round after
round takes the next of three seeds, so that the rounds also tell a difference between the two from
the noise that AutoAttack has by itself: an image whose verdict the package changes with its seed.

Exit code 1: a verdict differs for the same seed, and not by that noise, nor by the rounding of
robench's faster copy on an image that robench's own seeds disagree on. Speed changes no exit code.
"""

import os

# Read when torch is imported: idle threads should sleep, and one core is what is measured.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hashlib
import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
import torch
from rich.console import Console
from torch import nn

import robench
from benchmarks.nets import NETWORKS, NoWeights, Place, Subject, subject
from benchmarks.parity import sweep
from benchmarks.parity.journal import SEEDS, Extent, Journal, play
from benchmarks.parity.memory import memory
from benchmarks.parity.passes import Spent, spent
from benchmarks.parity.rounds import Contest, Side
from benchmarks.parity.sides import REFERENCE, Budget, audited, cascade, packaged, warm
from benchmarks.parity.table import (
    Row,
    exit_code,
    heading,
    passes_table,
    processor,
    remarks,
    save,
    table,
)
from robench.adversary.attack import right
from robench.data.catalogue import facts
from robench.errors import DataError, RobenchError
from robench.models.prepared import prepared
from robench.radius import BALLS, Norm, parse_eps
from robench.versions import version


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much of a network is measured."""

    images: int
    budget: Budget = field(default_factory=Budget)
    alone: int | None = None
    """Rightly classified images that single attacks are run on; none: all."""
    again: int = 0
    """Images on which the four attacks are run with each of the seeds, for a shorter time."""
    survivors: int = 8
    """Images whose passes are counted."""
    calls: bool = True
    """Whether memory is looked at."""
    sweeps: tuple[str, ...] = tuple(sweep.SWEEPS)
    """Of radii, by their names."""


SHORT = Budget(steps=50, targets=4, queries=1500)


QUICK: Mapping[str, Scale] = {
    "digits": Scale(images=360, alone=180, again=30, survivors=2, sweeps=()),
    "mnist": Scale(images=16, alone=8, survivors=0, calls=False, sweeps=()),
    "cifar10": Scale(
        images=24,
        alone=8,
        budget=Budget(steps=20, targets=2, queries=150),
        survivors=0,
        calls=False,
        sweeps=(),
    ),
}


USUAL: Mapping[str, Scale] = {
    "digits": Scale(images=360, alone=180),
    "mnist": Scale(images=200, alone=50, sweeps=("upper quarter",)),
    "cifar10": Scale(
        images=200,
        alone=50,
        budget=Budget(steps=20, targets=2, queries=300),
        sweeps=("upper quarter",),
    ),
}

FULL: Mapping[str, Scale] = {**USUAL, "cifar10": replace(USUAL["cifar10"], budget=Budget())}


def contests(on: Subject, scale: Scale) -> Iterator[Contest]:
    """All that is timed: the four attacks together, then each on what is rightly classified."""
    ours = scale.budget.ours(on.threat.norm)
    everything = versus("standard", list(ours), on, scale.budget)
    audit: Mapping[str, Side] = {"audited": lambda seed: audited(ours, on, seed)}
    yield replace(everything, sides={**everything.sides, **audit})
    if scale.again:
        few = on.at(slice(scale.again))
        yield replace(versus("standard, seeds", list(ours), few, SHORT), least=SEEDS)
    correct = on.at(right(on.model, on.x, on.y)).at(slice(scale.alone))
    fast = prepared(on.model, on.x[:8])
    for name in ours:
        yield versus(name, [name], correct, scale.budget, fast)


def versus(
    what: str, names: Sequence[str], on: Subject, budget: Budget, fast: nn.Module | None = None
) -> Contest:
    """Some of the attacks, robench's against the package's; no fast copy: a new one every run."""
    every = budget.ours(on.threat.norm)
    ours = {name: attack for name, attack in every.items() if name in names}
    sides: Mapping[str, Side] = {
        "package": lambda seed: (packaged(names, budget, on, seed), ""),
        "robench": lambda seed: (cascade(ours, on, seed, fast), ""),
    }
    exact = on.model
    return Contest(
        what,
        budget,
        sides,
        lambda seed: (cascade(ours, on, seed, exact), ""),
        tuple(on.index.tolist()),
    )


def conditions(on: Subject, scale: Scale, call: "Call") -> str:
    """A digest of all that a time or a verdict depends on."""
    code = hashlib.sha256()
    root = Path(robench.__file__).parent
    for file in sorted([*root.glob("adversary/*.py"), *root.glob("models/*.py")]):
        code.update(file.read_bytes())
    said = [
        on.sha256, on.threat.norm, on.eps, len(on.y), asdict(scale.budget),
        call.threads, call.seed, processor(), torch.__version__, version(REFERENCE),
        code.hexdigest(),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option(
    "--quick", is_flag=True, help="Under ten minutes on two cores; nothing long is trained."
)
@click.option("--full", is_flag=True, help="ResNet-18 with AutoAttack's budgets, too: many hours.")
@click.option(
    "--networks", default=",".join(NETWORKS), metavar="A,B", help="Which of the three are attacked."
)
@click.option("--norm", type=click.Choice(BALLS), default="Linf", help="Of the ball attacked.")
@click.option("--eps", metavar="R", help="Its radius.", show_default="the data set's")
@click.option("--rounds", type=click.IntRange(min=1), default=5, help="Runs of each side.")
@click.option(
    "--images",
    type=click.IntRange(min=1),
    metavar="N",
    help="Most images a network.",
    show_default="360 digits, 200 of MNIST and of CIFAR-10; fewer with --quick",
)
@click.option(
    "--weights",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    multiple=True,
    metavar="FOLDER",
    help="Results with trained madry cells to use; may be given again.",
)
@click.option(
    "--results",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("results/local/benchmarks"),
    metavar="FOLDER",
    help="Where CSV files go, and networks that have to be trained.",
)
@click.option(
    "--data-root",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("data"),
    envvar="ROBENCH_DATA_ROOT",
    metavar="FOLDER",
    help="A torchvision root; without it: digits.",
)
@click.option("--threads", type=click.IntRange(1, 1024), default=1, help="CPU threads.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="The first of three.")
@click.option("--resume", is_flag=True, help="Go on with the rounds of a call that was stopped.")
def command(**options: Any) -> None:
    """Compare robench's AutoAttack with the package pyautoattack: verdicts and time.

    Without --quick it takes hours, says how each round went, and can be stopped and resumed.
    Exit code 1: a verdict differs for the same seed and is not the package's own seed noise.
    """
    if version(REFERENCE) is None:
        raise click.UsageError(f"{REFERENCE} is not installed; pip install 'robench[attacks]'")
    try:
        sys.exit(compare(Call(**options)))
    except RobenchError as error:
        raise click.UsageError(str(error)) from error


@dataclass(frozen=True, kw_only=True)
class Call:
    """The options."""

    quick: bool
    full: bool
    networks: str
    norm: Norm
    eps: str | None
    rounds: int
    images: int | None
    weights: tuple[Path, ...]
    results: Path
    data_root: Path
    threads: int
    seed: int
    resume: bool
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @property
    def place(self) -> Place:
        """Where weights and images are; a quick call trains digits alone."""
        patience = 2.0 if self.quick else float("inf")
        return Place(self.weights, self.results, self.data_root, self.threads, patience)

    def ball(self, dataset: str) -> tuple[Norm, Fraction]:
        """What is attacked, whatever was trained against."""
        usual = facts(dataset).eps[self.norm]
        return self.norm, parse_eps(self.eps, self.norm) if self.eps else usual

    @property
    def extent(self) -> Extent:
        """How often contests are repeated: a quick call repeats short ones only."""
        patience = 8.0 if self.quick else float("inf")
        return Extent(rounds=self.rounds, patience=patience, first=self.seed)

    @property
    def clock(self) -> str:
        """With one thread the process's own seconds, which others on the machine do not move."""
        return "cpu" if self.threads == 1 else "wall"

    def chosen(self) -> dict[str, Scale]:
        """The networks asked for, and how much of each."""
        scales = QUICK if self.quick else FULL if self.full else USUAL
        names = [name for name in self.networks.split(",") if name]
        unknown = [name for name in names if name not in scales]
        if unknown or not names:
            raise click.UsageError(f"--networks takes some of {', '.join(scales)}")
        if self.quick and self.full:
            raise click.UsageError("--quick or --full, not both")
        return {name: scales[name] for name in names}


def compare(call: Call) -> int:
    """All networks; the exit code."""
    torch.set_num_threads(call.threads)
    logging.getLogger("auto-attack").setLevel(logging.ERROR)  # of the package's checks
    console = Console(width=None if sys.stdout.isatty() else 150, highlight=False)
    chosen, lines, passes, sweeps = call.chosen(), [], {}, []
    for line in heading(call.threads, call.clock):
        console.print(line)
    for name, scale in chosen.items():
        try:
            images = min(scale.images, call.images or scale.images)
            on = subject(name, call.place, images).within(*call.ball(name))
        except DataError as error:
            said = str(error).partition(";")[0]
            console.print(f"skipped: {said}; --data-root names a torchvision root")
            continue
        except NoWeights as error:
            console.print(f"skipped: {name}: {error}")
            continue
        console.print(f"{name}: {on.cell}, {on.threat.norm} {on.eps}, {len(on.y)} images")
        lines += timed(on, scale, call)
        passes[name] = survivors(on, scale, lines, call.seed)
        for said in memory(on.at(slice(16)), call.seed) if scale.calls else ():
            console.print(f"{name}, memory with {said}")
        sweeps += sweep.swept(on, scale.budget, scale.sweeps, call.seed)
    if not lines:
        raise click.UsageError("nothing was measured")
    report(console, lines, passes)
    if sweeps:
        console.print(sweep.table(sweeps))
    save(call.results / "attacks.csv", lines)
    return exit_code(lines)


def timed(on: Subject, scale: Scale, call: Call) -> list[Row]:
    """The lines of a network."""
    path, digest = call.results / f"attacks-{on.name}.csv", conditions(on, scale, call)
    journal = Journal(path, on.name, digest, call.started)
    if call.resume:
        journal.rejoin()
    warm(on)
    found = []
    for contest in contests(on, scale):
        rounds = play(contest, call.extent, journal)
        sides = [side for side in contest.sides if side != "package"]
        found += [Row(on.name, contest, rounds, side, call.clock) for side in sides]
    return found


def survivors(on: Subject, scale: Scale, lines: Sequence[Row], seed: int) -> list[Spent]:
    """Passes, counted on the first images that stand after all four attacks of both."""
    sides = next(r for r in lines if (r.network, r.what) == (on.name, "standard")).rounds[0].sides
    stand = torch.tensor(sides["package"].stands) & torch.tensor(sides["robench"].stands)
    few = stand.nonzero().squeeze(1)[: scale.survivors]
    return list(spent(on.at(few), scale.budget, seed)) if len(few) else []


def report(console: Console, lines: Sequence[Row], passes: Mapping[str, Sequence[Spent]]) -> None:
    """Tables and remarks, and what the verdicts come to."""
    console.print(table(lines), passes_table(passes))
    for line in lines:
        for remark in remarks(line):
            console.print(f"- {remark}")
    faults = [f"{line.network} {line.what}" for line in lines for _ in line.unexplained]
    said = f": {', '.join(dict.fromkeys(faults))}" if faults else ""
    console.print(
        f"{len(faults)} verdicts differ with the same seed, beyond noise and rounding{said}."
    )


if __name__ == "__main__":
    command()
