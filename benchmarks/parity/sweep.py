"""A sweep of radii against its largest one alone, by robench's own evaluation.

Every image goes through the whole suite at one radius, so the ratio of their costs is about that
of the images that stand at the smallest radius and at the largest: it says as much of the radii as
of the code, and the table shows both.
"""

import gc
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from benchmarks.nets import Subject
from benchmarks.parity.sides import Budget
from robench.adversary.suite import Suite
from robench.data.load import Images
from robench.evaluation.evaluate import evaluate
from robench.threat import Threat

SWEEPS: Mapping[str, tuple[float, ...]] = {
    "upper half": (0.5, 0.625, 0.75, 0.875, 1.0),
    "upper quarter": (0.75, 0.8125, 0.875, 0.9375, 1.0),
}
"""Five radii each, in parts of the largest."""

MOST = 1.5
"""Times the largest radius's cost that are asked for."""


@dataclass(frozen=True)
class Sweep:
    """Seconds, and what stood at the smallest radius and at the largest."""

    network: str
    what: str
    eps: float
    largest: float
    five: float
    stand: tuple[int, int]

    @property
    def ratio(self) -> float:
        """How many times the largest radius's cost."""
        return self.five / self.largest

    @property
    def survivors(self) -> float:
        """What the radii alone make of it."""
        return self.stand[0] / max(self.stand[1], 1)


def swept(on: Subject, budget: Budget, names: Sequence[str], seed: int) -> list[Sweep]:
    """Sweeps of one network; the largest radius comes before and after the five."""
    found = []
    for what in names:
        parts = SWEEPS[what]
        before, _ = _seconds(on, budget, parts[-1:], seed)
        five, stand = _seconds(on, budget, parts, seed)
        after, _ = _seconds(on, budget, parts[-1:], seed)
        found.append(Sweep(on.name, what, float(on.threat.eps), (before + after) / 2, five, stand))
    return found


def _seconds(
    on: Subject, budget: Budget, parts: Sequence[float], seed: int
) -> tuple[float, tuple[int, int]]:
    """CPU seconds of one evaluation, and what stands at its smallest and at its largest radius."""
    images = Images(on.x, on.y, 1.0, on.index)  # floats in [0, 1] already
    threats = [Threat(on.threat.norm, on.threat.eps * part) for part in parts]
    gc.collect()
    began = time.process_time()
    found = evaluate(
        on.model, Suite(budget.ours(on.threat.norm)), images, threats, seed, lambda *progress: None
    )
    seconds = time.process_time() - began
    first, last = (int(found[at].outcomes.stands["square"].sum()) for at in (0, -1))
    return seconds, (first, last)


def table(sweeps: Sequence[Sweep]) -> Table:
    """All sweeps."""
    heads = (
        "network", "five radii from", "largest alone", "five together", "ratio", "asked",
        "stand at smallest / largest", "their ratio",
    )  # fmt: skip
    drawn = Table(*heads, title="Seconds, five radii against the largest alone")
    for one in sweeps:
        drawn.add_row(
            one.network,
            f"the {one.what} of {one.eps:.4g}",
            f"{one.largest:.2f} s",
            f"{one.five:.2f} s",
            f"{one.ratio:.2f}x",
            f"{MOST:g}x",
            "{} / {}".format(*one.stand),
            f"{one.survivors:.2f}",
        )
    return drawn
