"""What all that is left of a grid will cost."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from robench.evaluation.stored import trusted
from robench.forecast.attacking import MORE_RADII, Bill, Takes, bill, takes
from robench.forecast.training import Effort, Probed, effort, passing
from robench.left import Left, Rerun, left
from robench.models.prepared import prepared
from robench.plan import Job, Plan
from robench.seeds import seeded
from robench.settings import Plain
from robench.store.cell import Evaluation
from robench.store.files import digest
from robench.store.records import cell_folder
from robench.threat import Threat

HALF = 0.5
"""Of the images stand, as long as nobody knows, of a method that trains against attacks."""


LONGEST = 120.0
"""Seconds after which nothing new is probed."""


@dataclass(frozen=True)
class Cost:
    """Of one cell, in seconds and bytes."""

    label: str
    training: float = 0.0
    attacks: float = 0.0
    """Where as many images stand as is expected."""
    least: float = 0.0
    most: float = 0.0
    """Where no image stands, and where all do."""
    memory: float = 0.0
    """Beside what a process takes that has done nothing yet."""
    weights: float = 0.0
    """Of its checkpoints."""
    state: float = 0.0
    """On the disk while it trains."""
    unknown: tuple[str, ...] = ()
    """What is not in it, in words."""

    @property
    def seconds(self) -> float:
        """Of all of it."""
        return self.training + self.attacks


def costs(plan: Plan, results: Path, rerun: Rerun) -> Iterator[Cost]:
    """Of each cell that something is left of; what several have in common is probed once."""
    prober, until = _Prober(plan), time.monotonic() + LONGEST
    for job in plan.jobs:
        folder = cell_folder(results, job.cell)
        todo = left(job, folder, rerun)
        if not todo.train and not todo.evaluations:
            continue
        label = f"{job.cell.label} seed {job.cell.seed}"
        if time.monotonic() > until and not prober.knows(job):
            yield Cost(label, unknown=("cells that a short probe had no time for",))
            continue
        try:
            yield prober.cost(job, todo, label, trusted(folder.record))
        except Exception as error:  # a plugin's own: the run will say more
            yield Cost(label, unknown=(f"{label}: {type(error).__name__}: {error}",))


class _Prober:
    """Remembers what it has probed."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._efforts: dict[str, Effort] = {}
        self._passes: dict[str, tuple[float, float]] = {}
        self._bills: dict[str, Bill] = {}

    def cost(self, job: Job, todo: Left, label: str, record: Plain | None) -> Cost:
        whole = Cost(label)
        if todo.train:
            spent = self._effort(job)
            whole = replace(
                whole, training=spent.seconds, memory=spent.memory, weights=2 * spent.weights,
                state=spent.state,
            )  # fmt: skip
        known = record if not todo.train else None
        for together in _together(todo.evaluations):
            whole = self._attacked(whole, job, together, known)
        return whole

    def knows(self, job: Job) -> bool:
        """Whether a cell like it has been probed."""
        return _kind(job) in self._efforts

    def _effort(self, job: Job) -> Effort:
        kind = _kind(job)
        if kind not in self._efforts:
            self._efforts[kind] = effort(job, self._plan.data[job.cell.dataset])
        return self._efforts[kind]

    def _attacked(
        self, whole: Cost, job: Job, together: list[Evaluation], record: Plain | None
    ) -> Cost:
        """With one checkpoint's evaluations by a suite."""
        first = together[0]
        suite = self._plan.suites[first.suite]
        if job.method.stochastic and first.suite in self._plan.stand_ins:
            suite = self._plan.stand_ins[first.suite]
        if suite.measures:
            return replace(whole, unknown=(*whole.unknown, f"what {first.suite} measures"))
        data = self._plan.data[job.cell.dataset]
        threat = Threat(first.norm, max(float(evaluation.eps) for evaluation in together))
        asked = f"{digest(suite.plain())} {first.norm} {first.eps} {job.cell.dataset}"
        if asked not in self._bills:
            self._bills[asked] = bill(suite.on({}), data.facts, threat)
        found = takes(suite.on({}), self._bills[asked], len(data.test), *self._passing(job))
        radii = sum(evaluation.eps > 0 for evaluation in together)
        times = 1 + MORE_RADII * (radii - 1) if suite.carries else radii
        return _with(whole, found, times, _standing(job, first, record))

    def _passing(self, job: Job) -> tuple[float, float]:
        kind = _kind(job)
        if kind not in self._passes:
            with seeded(0):
                probed = Probed(job, self._plan.data[job.cell.dataset])
                fast = prepared(probed.deployed(), probed.batch(8).x)
                self._passes[kind] = passing(fast, probed.batch, probed.device)
        return self._passes[kind]


def _with(whole: Cost, found: Takes, times: float, standing: float) -> Cost:
    return replace(
        whole,
        attacks=whole.attacks + times * found.at(standing),
        least=whole.least + times * found.none,
        most=whole.most + times * found.every,
    )


def _standing(job: Job, evaluation: Evaluation, record: Plain | None) -> float:
    """The share of images that is expected to stand: validation's PGD accuracy where it is known.

    It is a little too high, as PGD's are.
    """
    if record is not None and record["status"] == "ok":
        look: dict[str, Any] = record["checkpoints"][evaluation.checkpoint]["validation"]
        return float(look["robust"])
    return HALF if job.method.select_on == "robust" else 0.0


def _together(evaluations: list[Evaluation]) -> Iterator[list[Evaluation]]:
    """The radii of a checkpoint under a suite."""
    kinds = dict.fromkeys((e.checkpoint, e.suite) for e in evaluations)
    for kind in kinds:
        yield [e for e in evaluations if (e.checkpoint, e.suite) == kind]


def _kind(job: Job) -> str:
    """Cells that cost the same: seeds, radii, and settings that change no passes, do not matter."""
    own, method = job.cell.identity, job.method
    alike = ("method", "plugin", "recipe", "dataset", "train_limit", "model", "norm")
    passes = [
        (stage.name, stage.share, vars(method.passes(stage.name))) for stage in method.stages()
    ]
    return digest({name: own[name] for name in alike} | {"passes": passes})
