"""Sides take turns, and every run is kept as soon as it is done."""

import csv
import gc
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from benchmarks.parity.rounds import Contest, Measured, Round, Side
from benchmarks.parity.verdicts import differences

SEEDS = 3
"""Rounds take turns with them."""


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How often a contest is repeated."""

    rounds: int
    patience: float = float("inf")
    """Seconds after which no further round begins, unless verdicts have to be explained."""
    first: int = 0
    """The first seed."""


def measured(side: Side, seed: int) -> Measured:
    """Run one side and take its time."""
    wall, cpu = time.perf_counter(), time.process_time()
    stands, note = side(seed)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Measured(cpu, wall, tuple(stands.tolist()), note)


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
