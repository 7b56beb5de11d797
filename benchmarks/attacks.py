"""AutoAttack: robench's four attacks against pyautoattack's, verdict by verdict, and their time.

    python benchmarks/attacks.py --quick --weights results/digits --weights results/mnist-10k

Both get the same weights, images, seeds and threads, in one process, and take turns: a round is one
run of each. The package runs as its README runs it, on the model as users have it. Round after
round takes the next of three seeds, so that the rounds also tell a difference between the two from
the noise that AutoAttack has by itself: an image whose verdict the package changes with its seed.

Exit code 1: a verdict differs for the same seed, and not by that noise. Speed changes no exit code.
"""

import os

# Read when torch is imported: idle threads should sleep, and one core is what is measured.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import csv
import gc
import hashlib
import json
import logging
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

import click
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import robench
from benchmarks.nets import NETWORKS, NoWeights, Place, Subject, subject
from robench.adversary.apgd import APGD, TargetedAPGD
from robench.adversary.attack import Attack, attempt, right
from robench.adversary.fab import TargetedFAB
from robench.adversary.square import Square
from robench.errors import DataError, RobenchError
from robench.models.passes import Passes, counted
from robench.models.prepared import prepared
from robench.versions import version

REFERENCE = "pyautoattack"

BATCH = 250
"""The package's default; both attack as many images at once, so that both draw the same numbers."""

SEEDS = 3
"""Rounds take turns with them."""

AUDITED = 0.1
"""Share of the survivors of APGD-CE and APGD-T that the other two are run on."""

ASKED: Mapping[str, tuple[float, float]] = {
    "standard": (1.4, 2.0),
    "audited": (3.5, 6.0),
    "fab-t": (1.3, 1.8),
    "square": (1.3, 1.6),
}
"""How many times as fast as the package: at least, and the goal."""

CALLS, FLAT = 50, 4.0
"""Calls after which memory is looked at, and megabytes that are no growth."""


# --- What is run -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How far the attacks go, the same on both sides; the defaults are AutoAttack's."""

    steps: int = 100
    targets: int = 9
    queries: int = 5000

    def __str__(self) -> str:
        return f"{self.steps} steps, {self.targets} targets, {self.queries} queries"

    def ours(self) -> dict[str, Attack]:
        """The four attacks that are robench's own, in order."""
        return {
            "apgd-ce": APGD(steps=self.steps),
            "apgd-t": TargetedAPGD(steps=self.steps, targets=self.targets),
            "fab-t": TargetedFAB(steps=self.steps, targets=self.targets),
            "square": Square(queries=self.queries),
        }

    def limit(self, package: Any) -> None:
        """Hold the package's attacks to it; its APGD has already derived three numbers from 100."""
        for apgd in (package.apgd, package.apgd_targeted):
            apgd.n_iter = apgd.n_iter_orig = self.steps
            apgd.n_iter_2 = max(int(0.22 * self.steps), 1)
            apgd.n_iter_min = max(int(0.06 * self.steps), 1)
            apgd.size_decr = max(int(0.03 * self.steps), 1)
        package.fab.n_iter, package.square.n_queries = self.steps, self.queries
        package.apgd_targeted.n_target_classes = package.fab.n_target_classes = self.targets


def cascade(
    attacks: Mapping[str, Attack], on: Subject, seed: int, fast: nn.Module | None = None
) -> Tensor:
    """Which images (B,) stand after robench's attacks, each on what the ones before have left.

    Attacks get the faster copy of the network; the verdict on what they return is the original's.
    """
    stands = right(on.model, on.x, on.y)
    fast = prepared(on.model, on.x[:8]) if fast is None else fast
    for name, attack in attacks.items():
        for todo in stands.nonzero().squeeze(1).split(BATCH) if stands.any() else ():
            x, y = on.x[todo], on.y[todo]
            x_adv = attempt(name, attack, fast, x, y, on.threat, seed)
            stands[todo] = right(on.model, x_adv, y)
    return stands


def packaged(names: Sequence[str], budget: Budget, on: Subject, seed: int) -> Tensor:
    """Which images (B,) stand after the package's attacks, by its own account."""
    import pyautoattack

    eps, norm = on.threat.eps, on.threat.norm
    attack = pyautoattack.AutoAttack(on.model, norm=norm, eps=eps, version="standard", seed=seed)
    attack.attacks_to_run, attack.verbose = list(names), False
    if budget != Budget():
        budget.limit(attack)
    _, classes = attack.run_standard_evaluation(on.x, on.y, batch_size=BATCH)
    stands: Tensor = classes == on.y
    return stands


def audited(attacks: Mapping[str, Attack], on: Subject, seed: int) -> tuple[Tensor, str]:
    """Both APGDs on all images, FAB-T and Square on a random tenth of what stands then.

    If one of those falls, they are run on the others, too. Also says what that amounts to.
    """
    fast, names = prepared(on.model, on.x[:8]), list(attacks)
    cheap, dear = ({name: attacks[name] for name in part} for part in (names[:2], names[2:]))
    stands = cascade(cheap, on, seed, fast)
    sample, others = drawn(stands, seed)
    stands[sample] = cascade(dear, on.at(sample), seed, fast)
    fell = int((~stands[sample]).sum())
    if fell:
        stands[others] = cascade(dear, on.at(others), seed, fast)
    return stands, in_words(len(sample), len(others), fell)


def warm(on: Subject) -> None:
    """Both sides once at next to no cost: imports and first passes belong to neither's time."""
    budget, few = Budget(steps=2, targets=1, queries=5), on.at(slice(8))
    packaged(list(budget.ours()), budget, few, 0)
    cascade(budget.ours(), few, 0)


def drawn(stands: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Positions of a random tenth of the images that stand, at least one, and of the others."""
    index = stands.nonzero().squeeze(1)
    order = torch.randperm(len(index), generator=torch.Generator().manual_seed(seed))
    part = min(len(index), max(1, round(AUDITED * len(index))))
    return index[order[:part]].sort().values, index[order[part:]].sort().values


def in_words(m: int, others: int, fell: int) -> str:
    """What an audit amounts to: its size, and what it leaves open with 95 % confidence."""
    if not m:
        return "nothing stood"
    said = f"m = {m} of {m + others}, {fell} fell"
    if fell:
        return f"{said}: all were attacked"
    return f"{said}: at most {1 - 0.05 ** (1 / m):.1%} of them would (95 %)"


# --- What is not timed -------------------------------------------------------------------------


def resident() -> float | None:
    """Memory of this process in megabytes, where the system says."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def memory(on: Subject, seed: int) -> Iterator[str]:
    """Whether short cascades leave anything behind: with one fast copy, and with a new one each."""
    attacks = Budget(steps=2, targets=1, queries=10).ours()
    for what, fast in (("one copy", prepared(on.model, on.x[:8])), ("a new copy a call", None)):
        seen = []
        for _ in range(CALLS):
            cascade(attacks, on, seed, fast)
            gc.collect()
            seen.append(resident() or 0.0)
        yield f"{what}: {grown(seen)}"


def grown(seen: Sequence[float]) -> str:
    """The last ten calls against the second ten; the first ones warm up."""
    if not any(seen):
        return "this system does not say"
    before, after = median(seen[10:20]), median(seen[-10:])
    verdict = "flat" if after - before <= FLAT else "GROWS"
    return (
        f"{before:.1f} MB after calls 11-20, {after:.1f} MB after the last ten of {len(seen)}: "
        f"{after - before:+.1f} MB, {verdict}"
    )


@dataclass(frozen=True)
class Spent:
    """Passes of one attack on images of which ``stand`` survive it."""

    what: str
    images: int
    stand: tuple[int, int]
    package: Passes
    ours: Passes


def spent(on: Subject, budget: Budget, seed: int) -> Iterator[Spent]:
    """Passes of each attack on a few images; all of them, also those of the package's checks."""
    fast = prepared(on.model, on.x[:8])
    for name, attack in budget.ours().items():
        with counted(on.model) as package:
            theirs = packaged([name], budget, on, seed)
        with counted(on.model) as checks, counted(fast) as passes:
            ours = cascade({name: attack}, on, seed, fast)
        if fast is not on.model:
            passes.forwards += checks.forwards
            passes.backwards += checks.backwards
        yield Spent(name, len(on.y), (int(theirs.sum()), int(ours.sum())), package, passes)


# --- Rounds, and what is kept of them ----------------------------------------------------------

Side = Callable[[int], tuple[Tensor, str]]
"""A seed to the images that stand, and a remark."""


@dataclass(frozen=True)
class Contest:
    """Runs that take turns; the first is the package's."""

    what: str
    budget: Budget
    sides: Mapping[str, Side]
    exact: Side
    """robench's without its faster copy: whether a difference comes from that copy's rounding."""
    origin: tuple[int, ...]
    """Positions of the images among the test images."""
    least: int = 1
    """Rounds that are always run."""


@dataclass(frozen=True)
class Measured:
    """One run of one side."""

    cpu: float
    wall: float
    """Seconds: of this process on a core, and by the clock."""
    stands: tuple[bool, ...]
    note: str = ""


@dataclass(frozen=True)
class Round:
    """One run of each side with the same seed."""

    seed: int
    sides: Mapping[str, Measured]


def measured(side: Side, seed: int) -> Measured:
    """Run one side and take its time."""
    wall, cpu = time.perf_counter(), time.process_time()
    stands, note = side(seed)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Measured(cpu, wall, tuple(stands.tolist()), note)


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How often a contest is repeated."""

    rounds: int
    patience: float = float("inf")
    """Seconds after which no further round begins, unless verdicts have to be explained."""
    first: int = 0
    """The first seed."""


def play(contest: Contest, extent: Extent, journal: "Journal") -> list[Round]:
    """Its rounds; where verdicts differ, at least one for each seed, to tell noise from fault."""
    rounds, began = journal.kept(contest), time.perf_counter()
    while _goes_on(contest, rounds, extent, time.perf_counter() - began):
        seed = extent.first + len(rounds) % SEEDS
        gc.collect()
        sides = {name: measured(side, seed) for name, side in contest.sides.items()}
        rounds.append(Round(seed, sides))
        journal.add(contest.what, len(rounds), rounds[-1])
    return rounds


def _goes_on(contest: Contest, rounds: Sequence[Round], extent: Extent, spent: float) -> bool:
    if len(rounds) < contest.least or (len(rounds) < SEEDS and differences(rounds)):
        return True
    return len(rounds) < extent.rounds and spent < extent.patience


FIELDS = (
    "conditions", "started", "network", "what", "round", "seed", "side", "cpu_seconds",
    "wall_seconds", "stand", "stands", "note",
)  # fmt: skip


@dataclass
class Journal:
    """Every run as a row of a CSV file, so that a call that was stopped can be gone on with.

    Only rounds that are whole and were run under the same conditions are taken up again: a ratio of
    seconds from different machines or versions means nothing.
    """

    path: Path
    network: str
    conditions: str
    """A digest of all that a time or a verdict depends on."""
    started: str
    """When this call began, or the one that it goes on with."""

    def kept(self, contest: Contest) -> list[Round]:
        """The rounds of a contest that are there already."""
        by_round: dict[int, list[dict[str, str]]] = {}
        for row in self._rows():
            if row["what"] == contest.what:
                by_round.setdefault(int(row["round"]), []).append(row)
        rounds = [_round(by_round[number]) for number in sorted(by_round)]
        return [played for played in rounds if played.sides.keys() == contest.sides.keys()]

    def rejoin(self) -> None:
        """Go on with the last call under the same conditions, if there was one."""
        calls = {row["started"] for row in self._all() if row["conditions"] == self.conditions}
        self.started = max(calls, default=self.started)

    def add(self, what: str, number: int, played: Round) -> None:
        """Write a round, and say how it went."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = not self.path.exists()
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, FIELDS)
            if new:
                writer.writeheader()
            for name, run in played.sides.items():
                writer.writerow(self._row(what, number, played.seed, name, run))
        sides = played.sides.items()
        said = ", ".join(f"{name} {run.wall:.1f} s, {sum(run.stands)} stand" for name, run in sides)
        click.echo(f"{self.network} {what} round {number} seed {played.seed}: {said}", err=True)

    def _row(self, what: str, number: int, seed: int, side: str, run: Measured) -> dict[str, Any]:
        stands = "".join("01"[stand] for stand in run.stands)
        values = (
            self.conditions, self.started, self.network, what, number, seed, side,
            f"{run.cpu:.3f}", f"{run.wall:.3f}", sum(run.stands), stands, run.note,
        )  # fmt: skip
        return dict(zip(FIELDS, values, strict=True))

    def _rows(self) -> list[dict[str, str]]:
        mine = (self.conditions, self.started)
        return [row for row in self._all() if (row["conditions"], row["started"]) == mine]

    def _all(self) -> list[dict[str, str]]:
        if not self.path.exists():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))


def _round(rows: Sequence[Mapping[str, str]]) -> Round:
    sides = {
        row["side"]: Measured(
            float(row["cpu_seconds"]),
            float(row["wall_seconds"]),
            tuple(mark == "1" for mark in row["stands"]),
            row["note"],
        )
        for row in rows
    }
    return Round(int(rows[0]["seed"]), sides)


# --- Verdicts ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """An image on whose verdict the two differ for the same seed."""

    seed: int
    image: int
    """Its place among those attacked."""
    stands: bool
    """After the package's attacks; after robench's it is the other way."""
    noise: bool
    """Whether the package contradicts itself on the image with another seed."""


def verdicts(rounds: Sequence[Round], side: str) -> dict[int, tuple[bool, ...]]:
    """The verdicts of one side by seed; the last round of a seed counts."""
    return {played.seed: played.sides[side].stands for played in rounds}


def differences(rounds: Sequence[Round], side: str = "robench") -> list[Difference]:
    """Where a side and the package differ; a second seed may show that it is noise."""
    package, ours = verdicts(rounds, "package"), verdicts(rounds, side)
    return [
        Difference(seed, image, stands, noise=image in wavering(package))
        for seed in package
        for image, stands in enumerate(package[seed])
        if stands != ours[seed][image]
    ]


def wavering(by_seed: Mapping[int, Sequence[bool]]) -> set[int]:
    """Images whose verdict depends on the seed."""
    columns = enumerate(zip(*by_seed.values(), strict=True))
    return {image for image, stands in columns if len(set(stands)) > 1}


@dataclass(frozen=True)
class Tally:
    """Images that robench calls robust with its first seed, and what the package makes of them."""

    robust: int
    broken: int
    """By the package with any of the seeds; each is one of the next three."""
    same: int
    """robench breaks it, too, with every seed with which the package does."""
    noise: int
    """The package does not break it with every seed."""
    left: int
    """Neither: robench has missed what the package finds."""


def tally(rounds: Sequence[Round]) -> Tally:
    """What the package breaks with any seed, among what robench calls robust."""
    package, ours = verdicts(rounds, "package"), verdicts(rounds, "robench")
    first = ours[rounds[0].seed]
    robust = [image for image, stands in enumerate(first) if stands]
    broken = [i for i in robust if not all(stands[i] for stands in package.values())]
    same = {i for i in broken if not any(ours[s][i] and not package[s][i] for s in package)}
    noise = wavering(package) & set(broken) - same
    return Tally(
        len(robust), len(broken), len(same), len(noise), len(broken) - len(same) - len(noise)
    )


# --- What is printed ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One line of the table: a side against the package, over all rounds of a contest."""

    network: str
    contest: Contest
    rounds: Sequence[Round]
    side: str = "robench"
    clock: str = "cpu"
    """What seconds are meant: ``cpu`` or ``wall``."""

    @property
    def what(self) -> str:
        """In the table."""
        return "audited" if self.side == "audited" else self.contest.what

    def seconds(self, side: str, clock: str = "") -> list[float]:
        """Of every round."""
        return [getattr(played.sides[side], clock or self.clock) for played in self.rounds]

    def ratio(self, clock: str = "") -> float:
        """How many times as fast as the package."""
        ours = median(self.seconds(self.side, clock))
        return median(self.seconds("package", clock)) / max(ours, 1e-9)

    @property
    def budget(self) -> str:
        """In words, if it is not AutoAttack's."""
        return "" if self.contest.budget == Budget() else str(self.contest.budget)

    @property
    def images(self) -> int:
        """Images attacked."""
        return len(self.rounds[0].sides["package"].stands)

    @property
    def stand(self) -> tuple[int, int]:
        """How many images stand after the first round: the package's, ours."""
        first = self.rounds[0].sides
        return sum(first["package"].stands), sum(first[self.side].stands)

    @cached_property
    def differ(self) -> list[Difference]:
        """Verdicts that differ."""
        return differences(self.rounds, self.side)

    @property
    def unexplained(self) -> list[Difference]:
        """Those that are a fault: an audit may miss an image, within its bound."""
        if self.side == "audited":
            return []
        return [found for found in self.differ if not found.noise]

    def cells(self) -> list[str]:
        """As in the table."""
        least, goal = ASKED.get(self.what.split(",")[0], (0.0, 0.0))
        seeds = len(verdicts(self.rounds, "package"))
        return [
            self.network,
            f"{self.images}",
            self.what,
            spread(self.seconds("package")),
            spread(self.seconds(self.side)),
            f"{self.ratio():.2f}x",
            f"{self.ratio('wall'):.2f}x",
            f"{least:g}x ({goal:g}x)" if least else "-",
            "{} / {}".format(*self.stand),
            f"{len(self.differ)} in {seeds}",
        ]


HEADS = (
    "network", "images", "what", "package (spread)", "robench (spread)", "ratio", "by clock",
    "asked (goal)", "stand", "differ in seeds",
)  # fmt: skip


def spread(seconds: Sequence[float]) -> str:
    """The median, and from the least to the most."""
    if len(seconds) == 1:
        return f"{seconds[0]:.2f} s"
    return f"{median(seconds):.2f} s ({min(seconds):.2f}-{max(seconds):.2f})"


def table(lines: Sequence[Row]) -> Table:
    """All lines; truncated budgets are marked."""
    drawn = Table(*HEADS, title="Seconds, package against robench")
    for line in lines:
        cells = line.cells()
        drawn.add_row(*cells[:2], cells[2] + " *" * bool(line.budget), *cells[3:])
    cut = dict.fromkeys(f"{line.network}: {line.budget}" for line in lines if line.budget)
    said = "; ".join(cut)
    checks = "the package's checks, ten forwards an image, weigh more than they should"
    drawn.caption = f"* truncated on both sides: {said}; {checks}" if said else None
    return drawn


def remarks(line: Row) -> list[str]:
    """What a line of the table does not hold."""
    title, found = f"{line.network} {line.what}", []
    notes = dict.fromkeys(p.sides[line.side].note for p in line.rounds if p.sides[line.side].note)
    found += [f"{title}: {note}" for note in notes]
    found += [f"{title}: {said}" for said in explained(line)]
    if line.side == "robench" and line.what.startswith("standard"):
        found.append(f"{title}: {union(line.rounds)}")
    return found


def explained(line: Row) -> Iterator[str]:
    """Every verdict that differs; where it is no noise, whether the faster copy is why."""
    contest, faults = line.contest, line.unexplained
    exact = {seed: contest.exact(seed)[0].tolist() for seed in {fault.seed for fault in faults}}
    for found in line.differ:
        said = f"test image {contest.origin[found.image]}, seed {found.seed}"
        breaker = "robench" if found.stands else "the package"
        if line.side == "audited":
            said += f": only {breaker} breaks it; an audit may miss some"
        elif found.noise:
            said += f": only {breaker} breaks it; the package does with some seeds: noise"
        else:
            agree = exact[found.seed][found.image] == found.stands
            copy = "they agree without the faster copy" if agree else "the faster copy is not why"
            said += f": ONLY {breaker.upper()} BREAKS IT; {copy}"
        yield said


def union(rounds: Sequence[Round]) -> str:
    """The tally of the four attacks together, in words."""
    found, package = tally(rounds), verdicts(rounds, "package")
    changes = len(wavering(package)), len(wavering(verdicts(rounds, "robench")))
    seeds = f"{len(package)} seeds" if len(package) > 1 else "one seed"
    return (
        f"robench calls {found.robust} images robust; of these the package breaks {found.broken} "
        f"with {seeds}: {found.same} robench breaks with the same seed, {found.noise} are noise, "
        f"{found.left} it misses. Verdicts that change with the seed: {changes[0]} of the "
        f"package's, {changes[1]} of robench's"
    )


def exit_code(lines: Sequence[Row]) -> int:
    """1 when a verdict differs and is no noise; whatever the speed."""
    return int(any(line.unexplained for line in lines))


def passes_table(found: Mapping[str, Sequence[Spent]]) -> Table:
    """Passes an image, counted on images that survive all four attacks."""
    heads = ("network", "images", "attack", "package F + B", "robench F + B", "stand")
    drawn = Table(*heads, title="Passes an image that survives, forwards + backwards")
    for network, attacks in found.items():
        for one in attacks:
            each = [f"{p.forwards / one.images:,.0f} + {p.backwards / one.images:,.0f}"
                    for p in (one.package, one.ours)]  # fmt: skip
            drawn.add_row(network, f"{one.images}", one.what, *each, "{} / {}".format(*one.stand))
    return drawn


def heading(threads: int, clock: str) -> list[str]:
    """What the numbers belong to."""
    seconds = {"cpu": "CPU seconds of this process", "wall": "seconds by the clock"}[clock]
    return [
        f"reference: {REFERENCE} {version(REFERENCE)}, AutoAttack(version='standard'), batches of "
        f"{BATCH}, on the model as users have it",
        f"robench {robench.__version__} with its faster copy of the network, made anew for each "
        "standard and audited run and timed with it",
        f"torch {torch.__version__}, {threads} thread{'s' * (threads > 1)}, {processor()}; "
        f"{seconds}; by clock: the ratio of seconds that passed",
    ]


def processor() -> str:
    """The CPU's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]} ({len(names)} cores)" if names else platform.processor() or "CPU"


def save(path: Path, lines: Sequence[Row]) -> None:
    """The table as a CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*HEADS, "budget"])
        writer.writerows([*line.cells(), line.budget] for line in lines)


# --- How it is called --------------------------------------------------------------------------


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


SHORT = Budget(steps=50, targets=4, queries=1500)

QUICK: Mapping[str, Scale] = {
    "digits": Scale(images=360, alone=180, again=30, survivors=2),
    "mnist": Scale(images=16, alone=8, survivors=0, calls=False),
    "cifar10": Scale(
        images=24,
        alone=8,
        budget=Budget(steps=20, targets=2, queries=150),
        survivors=0,
        calls=False,
    ),
}

USUAL: Mapping[str, Scale] = {
    "digits": Scale(images=360),
    "mnist": Scale(images=200),
    "cifar10": Scale(images=50, budget=Budget(steps=20, targets=3, queries=500)),
}

FULL: Mapping[str, Scale] = {**USUAL, "cifar10": Scale(images=200)}


def contests(on: Subject, scale: Scale) -> Iterator[Contest]:
    """All that is timed: the four attacks together, then each on what is rightly classified."""
    ours = scale.budget.ours()
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
    ours = {name: attack for name, attack in budget.ours().items() if name in names}
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
        on.sha256, on.eps, len(on.y), asdict(scale.budget), call.threads, call.seed, processor(),
        torch.__version__, version(REFERENCE), code.hexdigest(),
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
@click.option("--rounds", type=click.IntRange(min=1), default=5, help="Runs of each side.")
@click.option(
    "--images",
    type=click.IntRange(min=1),
    metavar="N",
    help="Most images a network.",
    show_default="360 digits, 200 of MNIST, 50 of CIFAR-10; fewer with --quick",
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
    chosen, lines, passes = call.chosen(), [], {}
    for line in heading(call.threads, call.clock):
        console.print(line)
    for name, scale in chosen.items():
        try:
            on = subject(name, call.place, min(scale.images, call.images or scale.images))
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
    if not lines:
        raise click.UsageError("nothing was measured")
    report(console, lines, passes)
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
    console.print(f"{len(faults)} verdicts differ with the same seed and are no noise{said}.")


if __name__ == "__main__":
    command()
