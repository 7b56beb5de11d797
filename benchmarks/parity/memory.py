"""Whether calls leave memory behind."""

import gc
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from benchmarks.nets import Subject
from benchmarks.parity.sides import Budget, cascade
from robench.models.prepared import prepared

CALLS, FLAT = 50, 4.0
"""Calls after which memory is looked at, and megabytes that are no growth."""


def resident() -> float | None:
    """Memory of this process in megabytes, where the system says."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def memory(on: Subject, seed: int) -> Iterator[str]:
    """Whether short cascades leave anything behind: with one fast copy, and with a new one each."""
    attacks = Budget(steps=2, targets=1, queries=10).ours(on.threat.norm)
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
