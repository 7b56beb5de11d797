"""Passes of every attack, counted on images that survive."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.nets import Subject
from benchmarks.parity.sides import Budget, cascade, packaged
from robench.models.passes import Passes, counted
from robench.models.prepared import prepared


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
    for name, attack in budget.ours(on.threat.norm).items():
        with counted(on.model) as package:
            theirs = packaged([name], budget, on, seed)
        with counted(on.model) as checks, counted(fast) as passes:
            ours = cascade({name: attack}, on, seed, fast)
        if fast is not on.model:
            passes.forwards += checks.forwards
            passes.backwards += checks.backwards
        yield Spent(name, len(on.y), (int(theirs.sum()), int(ours.sum())), package, passes)
