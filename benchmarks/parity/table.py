"""What is printed and kept of the rounds."""

import csv
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median

import torch
from rich.table import Table

import robench
from benchmarks.parity.passes import Spent
from benchmarks.parity.rounds import Contest, Round
from benchmarks.parity.sides import BATCH, REFERENCE, Budget
from benchmarks.parity.verdicts import Difference, differences, tally, verdicts, wavering
from robench.versions import version

ASKED: Mapping[str, tuple[float, float]] = {
    "standard": (1.4, 2.0),
    "audited": (3.5, 6.0),
    "fab-t": (1.3, 1.8),
    "square": (1.3, 1.6),
}
"""How many times as fast as the package: at least, and the goal."""


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

    @cached_property
    def exact(self) -> dict[int, list[bool]]:
        """What robench finds without its faster copy, for the seeds at which it has to be known."""
        seeds = {found.seed for found in self.differ if not found.noise}
        return {seed: self.contest.exact(seed)[0].tolist() for seed in seeds}

    def agrees(self, found: Difference) -> bool:
        """Whether there is no difference without the faster copy."""
        return self.exact[found.seed][found.image] == found.stands

    def rounded(self, found: Difference) -> bool:
        """Whether it is the copy's rounding, on an image that robench's own seeds disagree on."""
        ours = wavering(verdicts(self.rounds, self.side))
        return not found.noise and found.image in ours and self.agrees(found)

    @property
    def unexplained(self) -> list[Difference]:
        """Those that are a fault: an audit may miss an image, within its bound."""
        if self.side == "audited":
            return []
        return [found for found in self.differ if not (found.noise or self.rounded(found))]

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
    for found in line.differ:
        said = f"test image {line.contest.origin[found.image]}, seed {found.seed}"
        breaker = "robench" if found.stands else "the package"
        if line.side == "audited":
            said += f": only {breaker} breaks it; an audit may miss some"
        elif found.noise:
            said += f": only {breaker} breaks it; the package does with some seeds: noise"
        elif line.rounded(found):
            said += f": only {breaker} breaks it; robench does with some seeds, and they agree "
            said += "without the faster copy: rounding"
        else:
            agree = line.agrees(found)
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
    """1 when a verdict differs and is neither noise nor rounding; whatever the speed."""
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
